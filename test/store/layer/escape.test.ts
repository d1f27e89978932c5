import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import {
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import { AT_FDCWD, RENAME, renameAt } from '../../../store/kernel/at.ts';
import { getXattr } from '../../../store/kernel/xattr.ts';
import { RootedTree } from '../../../store/layer/rooted.ts';
import { TAR_TYPE } from '../../../store/layer/tar-entry.ts';
import { archive, directory, type EntrySpec, file, hardLink, symlink, utf8 } from './archive-builder.ts';
import { FORMATS, isRoot, Scratch, tree } from './scratch.ts';

const test = suite('store/layer escapes');

/** Every way to use a path that leads to the victim. */
function usesOf(path: string): EntrySpec[][] {
  return [
    [file(`${path}/file`, 'pwned')],
    [file(`${path}/hello`, 'pwned')],
    [directory(`${path}/new`)],
    [directory(`${path}/`, { mode: 0o777, modifiedNs: 5n })],
    [symlink(`${path}/hello`, 'x')],
    [hardLink('stolen', `${path}/hello`)],
    [hardLink(`${path}/link`, 'ours')],
    [file(`${path}/.wh.hello`)],
    [file(`${path}/.wh..wh..opq`)],
    [{ name: `${path}/fifo`, type: TAR_TYPE.fifo }],
    [file(`${path}/a/b/c`, 'implied parents')],
  ];
}

const DOORS: readonly (readonly [string, EntrySpec[], string])[] = [
  ['relative name', [], '../victim'],
  ['absolute climbing name', [], '/../victim'],
  ['climbing inside', [directory('a')], 'a/../../victim'],
  ['symlink', [symlink('door', '../victim')], 'door'],
  ['two symlinks', [symlink('one', '../victim'), symlink('door', 'one')], 'door'],
  ['symlink in a directory', [directory('d'), symlink('d/door', '../../victim')], 'd/door'],
  ['absolute symlink', [], 'absolute'],
  ['hard link to a symlink', [symlink('sym', '../victim'), hardLink('door', 'sym')], 'door'],
  ['.. after a symlink', [symlink('door', '../victim/..')], 'door/victim'],
];

test('T01 T02 T13 T15: no use of any door reaches the victim', async () => {
  let turn = 0;
  for (const [name, door, path] of DOORS) {
    for (const use of usesOf(path)) {
      // Only whiteouts depend on the format; the others take turns.
      const isWhiteout = use.some((entry) => entry.name?.includes('.wh.'));
      turn += 1;
      for (const whiteouts of isWhiteout ? FORMATS : [FORMATS[turn % 2]!]) {
        using scratch = new Scratch();
        const entries = name === 'absolute symlink' ? [symlink('absolute', scratch.victim)] : door;
        await scratch
          .apply(archive(file('ours', 'ours'), ...entries, ...use), { whiteouts })
          .catch((error: Error & { code?: string }) => {
            ok(['unsafe-path', 'bad-layer', 'system'].includes(error.code ?? ''), `${name}: ${error.stack}`);
          });
        ok(scratch.isVictimUntouched, `${whiteouts}, ${name}, ${JSON.stringify(use[0]?.name)}`);
      }
    }
  }
});

test('T01: a name that climbs out is an error that names it', async () => {
  using scratch = new Scratch();
  await rejects(scratch.apply(archive(file('../victim/x\n', 'pwned'))), {
    code: 'unsafe-path',
    message: 'cannot unpack "../victim/x\\x0a": the path "../victim/x\\x0a" leads outside of the root',
  });
});

test('T03: the root itself is not replaced by anything but its own metadata', async () => {
  for (const name of ['.', '/', './.', './', 'a/..']) {
    for (const spec of [symlink(name, '../victim'), hardLink(name, 'ours'), file(name, 'x')]) {
      using scratch = new Scratch();
      await rejects(
        scratch.apply(archive(file('ours'), spec)),
        { code: 'unsafe-path' },
        JSON.stringify(spec),
      );
    }
    using scratch = new Scratch();
    await scratch.apply(archive(directory(name, { mode: 0o711 })));
    equal(lstatSync(scratch.root).mode & 0o777, 0o711);
  }
});

test('T04: a hard link to a symlink links the symlink, and no metadata reaches its target', async () => {
  using scratch = new Scratch();
  const metadata = { mode: 0o4777, modifiedNs: 1n, xattrs: { 'user.x': 'y' } };
  await scratch.apply(
    archive(
      symlink('s', join(scratch.victim, 'hello')),
      hardLink('h', 's', metadata),
      symlink('t', '../victim', { modifiedNs: 5n }),
      directory('t2'),
    ),
  );
  equal(readlinkSync(scratch.path('h')), join(scratch.victim, 'hello'));
  equal(lstatSync(scratch.path('h')).ino, lstatSync(scratch.path('s')).ino);
  ok(scratch.isVictimUntouched);
});

test('T05 T19: parents that are swapped for links while entries are written', async () => {
  using scratch = new Scratch();
  const entries = Array.from({ length: 1500 }, (_, at) => file(`p/q/file${at}`, `content ${at}`));
  mkdirSync(scratch.path('p/q'), { recursive: true });
  symlinkSync('../../victim', scratch.path('p/evil'));
  let swapping = true;
  const racer = (async () => {
    while (swapping) {
      for (let round = 0; round < 50; round += 1)
        renameAt(AT_FDCWD, scratch.path('p/q'), AT_FDCWD, scratch.path('p/evil'), RENAME.exchange);
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  await scratch.apply(archive(...entries), { whiteouts: 'delete' }).catch((error: { code: string }) => {
    ok(['system', 'bad-layer', 'unsafe-path'].includes(error.code));
  });
  swapping = false;
  await racer;
  ok(scratch.isVictimUntouched);
});

test('T06: whiteouts through links remove nothing outside; invalid whiteout names are errors', async () => {
  for (const whiteouts of FORMATS) {
    for (const name of ['l/.wh.hello', 'l/.wh..wh..opq']) {
      using scratch = new Scratch();
      await scratch.apply(archive(symlink('l', '../victim'), file(name)), { whiteouts }).catch(() => {});
      ok(scratch.isVictimUntouched);
    }
    for (const name of ['.wh.', 'd/.wh.', '.wh..', '.wh...', 'd/.wh...', '.wh./']) {
      using scratch = new Scratch();
      await rejects(
        scratch.apply(archive(directory('d'), file(name)), { whiteouts }),
        { code: 'bad-layer' },
        name,
      );
    }
  }
});

test('T14: a directory replaced by a link is not remembered as a directory', async () => {
  for (const whiteouts of FORMATS) {
    using scratch = new Scratch();
    await scratch
      .apply(
        archive(
          directory('dir'),
          file('dir/one', '1'),
          symlink('dir', '../victim'),
          file('dir/hello', 'pwned'),
          directory(utf8('caf\u00e9')),
          directory(utf8('cafe\u0301')),
          directory(utf8('CAF\u00c9')),
        ),
        { whiteouts },
      )
      .catch(() => {});
    ok(scratch.isVictimUntouched);
  }
});

test('T15: a file that exists is unlinked, not written through', async () => {
  using scratch = new Scratch();
  writeFileSync(join(scratch.top, 'outside'), 'outside');
  mkdirSync(scratch.path('d'));
  symlinkSync('../../outside', scratch.path('d/x'));
  await scratch.apply(
    archive(file('a', 'first'), hardLink('b', 'a'), file('b', 'second'), file('d/x', 'inside')),
    { whiteouts: 'delete' },
  );
  equal(scratch.read('a'), 'first');
  equal(scratch.read('b'), 'second');
  equal(scratch.read('d/x'), 'inside');
  equal(readFileSync(join(scratch.top, 'outside'), 'utf8'), 'outside');
});

test('T16: hard links resolve from the root of the archive, not from the working directory', async () => {
  using scratch = new Scratch();
  const before = process.cwd();
  writeFileSync(join(scratch.victim, 'decoy'), 'decoy');
  process.chdir(scratch.victim);
  try {
    await scratch.apply(
      archive(file('decoy', 'right'), file('d/decoy', 'wrong'), hardLink('d/link', 'decoy')),
    );
    equal(scratch.read('d/link'), 'right');
    await rejects(scratch.apply(archive(hardLink('none', 'hello'))), {
      code: 'bad-layer',
      message: 'cannot unpack "none": the target "hello" does not exist',
    });
  } finally {
    process.chdir(before);
  }
});

test('section 5: links that stay inside work, absolute and relative, dangling ones are kept', async () => {
  for (const whiteouts of FORMATS) {
    using scratch = new Scratch();
    await scratch.apply(
      archive(
        directory('run'),
        directory('var'),
        symlink('var/run', '/run'),
        file('var/run/pid', '1'),
        file('var/run/made/up/file', '2'),
        hardLink('var/run/linked', 'var/run/pid'),
        hardLink('absolute', '/run/pid'),
        symlink('dangling', '/no/such/thing'),
        symlink('up', '../../../etc/passwd'),
        symlink('lib', 'usr/lib'),
        file('usr/lib/x', 'x'),
        file('lib/y', 'y'),
      ),
      { whiteouts },
    );
    deepEqual(
      tree(scratch.root).filter((line) => !line.includes('/ ')),
      [
        'absolute 644 1',
        'dangling -> /no/such/thing',
        'lib -> usr/lib',
        'run/linked 644 1',
        'run/made/up/file 644 2',
        'run/pid 644 1',
        'up -> ../../../etc/passwd',
        'usr/lib/x 644 x',
        'usr/lib/y 644 y',
        'var/run -> /run',
      ],
    );
  }
});

test('T17: too deep and too long names are errors or done, links in circles end', async () => {
  using scratch = new Scratch();
  for (const name of [
    'd/'.repeat(100_000),
    `${'x'.repeat(4096)}/y`,
    'y'.repeat(256),
    `${'e/'.repeat(399)}x`,
  ]) {
    const outcome = await scratch.apply(archive(file(name))).then(
      () => 'done',
      (error: { code: string }) => error.code,
    );
    ok(['done', 'unsafe-path', 'system'].includes(outcome), outcome);
  }
  await rejects(scratch.apply(archive(symlink('a', 'b'), symlink('b', 'a'), file('a/x', 'x'))), {
    code: 'unsafe-path',
  });
});

test('RootedTree: a held directory that is moved away takes the writes with it', () => {
  using scratch = new Scratch();
  mkdirSync(scratch.path('a/b'), { recursive: true });
  using rooted = new RootedTree(scratch.root);
  const place = rooted.place('a/b/c');
  renameSync(scratch.path('a/b'), scratch.path('moved'));
  symlinkSync(scratch.victim, scratch.path('a/b'));
  writeFileSync(`/proc/self/fd/${place.directory}/c`, 'x');
  ok(scratch.exists('moved/c') && scratch.isVictimUntouched);
  rmSync(scratch.path('moved'), { recursive: true });
});

test('T22: attributes of overlayfs, SELinux and our own notes are never taken from an archive', async () => {
  using scratch = new Scratch();
  const refused = [
    'trusted.overlay.opaque',
    'trusted.overlay.redirect',
    'user.overlay.metacopy',
    'user.overlay.opaque',
    'security.selinux',
    'user.containers.override_stat',
  ];
  const xattrs = Object.fromEntries([...refused, 'user.kept'].map((name) => [name, 'y']));
  await scratch.apply(archive(file('f', 'x', { xattrs }), directory('d', { xattrs }), symlink('l', 'f', {})));
  for (const path of [scratch.path('f'), scratch.path('d')])
    deepEqual(
      refused.filter((name) => getXattr(path, name)?.toString() === 'y'),
      [],
    );
});

if (isRoot) {
  test('T22: devices and overlay attributes', async () => {
    using scratch = new Scratch();
    const device = (name: string, type: string): EntrySpec => ({
      name,
      type,
      deviceMajor: 1,
      deviceMinor: 3,
    });
    const bytes = archive(device('null', TAR_TYPE.character), device('disk', TAR_TYPE.block));
    await scratch.apply(bytes, { inUserNamespace: true });
    deepEqual(tree(scratch.root), []);
    await scratch.apply(bytes);
    deepEqual(tree(scratch.root), ['disk 60000 644 259', 'null 20000 644 259']);
  });
} else console.log('SKIP T22 devices: needs root');

test.run();
