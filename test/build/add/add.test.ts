import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { addToContainer, summarizeSources } from '../../../build/add/add.ts';
import type { AddOptions, AddSource } from '../../../build/add/contract.ts';
import type { BuildSurroundings } from '../../../build/container/contract.ts';
import { tarOf } from '../../support/tar.ts';
import { sampleContainer } from '../container/sample.ts';

const test = suite('adding to a container');
const base = mkdtempSync(join(tmpdir(), 'slipway-add-test-'));
let count = 0;
test.after(() => rmSync(base, { recursive: true, force: true }));

interface Place {
  readonly root: string;
  readonly context: string;
  add(
    destination: string,
    sources: readonly AddSource[],
    options?: AddOptions,
  ): ReturnType<typeof addToContainer>;
  summarize(sources: readonly AddSource[], options?: AddOptions): ReturnType<typeof summarizeSources>;
}

/** An empty root file system and context; files keep their owner, so that no privileges are needed. */
function place(): Place {
  count += 1;
  const directory = join(base, String(count));
  const root = join(directory, 'root');
  const context = join(directory, 'context');
  for (const path of [root, context]) mkdirSync(path, { recursive: true });
  const store = {
    rootless: false,
    layers: { mount: async () => root, unmount: async () => true },
    containers: { directory: async () => directory },
  };
  const surroundings = {
    store,
    workingDirectory: context,
    temporaryDirectory: directory,
    environment: {},
    docker: {},
    now: () => new Date(0),
  } as unknown as BuildSurroundings;
  const own = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  const given = { contextDirectory: context, chown: `${own.uid}:${own.gid}` };
  const noContainer = () => Promise.reject(new Error('nothing here needs a container'));
  return {
    root,
    context,
    add: (destination, sources, options = {}) =>
      addToContainer(surroundings, sampleContainer(), destination, sources, { ...given, ...options }),
    summarize: (sources, options = {}) =>
      summarizeSources(surroundings, noContainer, sources, { ...given, ...options }),
  };
}

test('a file takes the name of a destination that does not exist', async () => {
  const { root, context, add } = place();
  writeFileSync(join(context, 'a'), 'x', { mode: 0o640 });
  utimesSync(join(context, 'a'), 1000, 1000);
  const { summary } = await add('/etc/b', ['a']);
  assert.equal(readFileSync(join(root, 'etc/b'), 'utf8'), 'x');
  assert.equal(statSync(join(root, 'etc/b')).mode & 0o777, 0o640);
  assert.equal(statSync(join(root, 'etc/b')).mtimeMs, 1_000_000);
  assert.equal(summary.kind, 'file');
  assert.match(summary.hex, /^[0-9a-f]{64}$/);
});

test('an independent layer has directories as old as the newest file, so that it is the same again', async () => {
  const { context, add } = place();
  for (const [name, seconds] of [
    ['a', 1000],
    ['b', 2000],
  ] as const) {
    writeFileSync(join(context, name), name);
    utimesSync(join(context, name), seconds, seconds);
  }
  const { container } = await add('/new/below/', ['a', 'b'], { link: true });
  const path = container.appendedLayers[0]?.path as string;
  for (const name of ['new', 'new/below']) assert.equal(statSync(join(path, name)).mtimeMs, 2_000_000, name);
});

test('an independent layer is as old as the directory that was named, and passes no link below it', async () => {
  const { root, context, add } = place();
  mkdirSync(join(context, 'd'));
  writeFileSync(join(context, 'd/young'), '');
  utimesSync(join(context, 'd'), 1000, 1000);
  mkdirSync(join(root, 'real'));
  symlinkSync('real', join(root, 'link'));
  const { container } = await add('/link/below', ['d'], { link: true });
  const path = container.appendedLayers[0]?.path as string;
  assert.deepEqual(readdirSync(path), ['link']);
  for (const name of ['link', 'link/below'])
    assert.equal(lstatSync(join(path, name)).mtimeMs, 1_000_000, name);
});

test('a trailing slash makes a directory; several sources need one', async () => {
  const { root, context, add } = place();
  for (const name of ['a', 'b']) writeFileSync(join(context, name), name);
  await add('/one/', ['a']);
  await add('two', ['a', 'b']);
  assert.deepEqual(readdirSync(join(root, 'one')), ['a']);
  assert.deepEqual(readdirSync(join(root, 'two')), ['a', 'b']);
  writeFileSync(join(root, 'file'), '');
  await assert.rejects(add('/file', ['a', 'b']), { code: 'bad-argument', message: /not a directory/ });
});

test('a link to nothing at the destination is the way to a new directory', async () => {
  const { root, context, add } = place();
  writeFileSync(join(context, 'a'), 'x');
  symlinkSync('/new', join(root, 'link'));
  await add('/link', ['a']);
  assert.equal(readlinkSync(join(root, 'link')), '/new');
  assert.deepEqual(readdirSync(join(root, 'new')), ['a']);
});

test('a destination below a file or in a loop of links is refused in one line', async () => {
  const { root, context, add } = place();
  mkdirSync(join(context, 'd'));
  writeFileSync(join(root, 'file'), '');
  symlinkSync('loop', join(root, 'loop'));
  await assert.rejects(add('/file/below/x', ['d']), {
    code: 'unsafe-path',
    message: /"\/file" already exists/,
  });
  await assert.rejects(add('/file/', ['d']), {
    code: 'bad-argument',
    message: /destination \/file\/ already/,
  });
  for (const destination of ['/loop', '/loop/x'])
    await assert.rejects(add(destination, ['d']), { code: 'unsafe-path', message: /too many levels of sym/ });
});

test('what is in a directory is added, with links, modes and hard links', async () => {
  const { root, context, add } = place();
  mkdirSync(join(context, 'd/sub'), { recursive: true });
  writeFileSync(join(context, 'd/sub/f'), 'x', { mode: 0o755 });
  linkSync(join(context, 'd/sub/f'), join(context, 'd/hard'));
  symlinkSync('/nowhere', join(context, 'd/link'));
  await add('/to', ['d']);
  assert.equal(readlinkSync(join(root, 'to/link')), '/nowhere');
  assert.equal(statSync(join(root, 'to/hard')).ino, statSync(join(root, 'to/sub/f')).ino);
  assert.equal(statSync(join(root, 'to/sub/f')).mode & 0o777, 0o755);
});

test('equal content gives equal digests, other content another', async () => {
  const { context, add, summarize } = place();
  mkdirSync(join(context, 'd'));
  writeFileSync(join(context, 'd/f'), 'x');
  const first = (await add('/1', ['d'])).summary;
  utimesSync(join(context, 'd/f'), 5, 5);
  const second = await summarize(['d']);
  writeFileSync(join(context, 'd/f'), 'y');
  const third = (await add('/3', ['d'])).summary;
  assert.equal(first.hex, second.hex);
  assert.notEqual(first.hex, third.hex);
  assert.equal(first.kind, 'dir');
});

test('a summary without a container is that of the addition, whatever the destination calls the file', async () => {
  const { root, context, add, summarize } = place();
  writeFileSync(join(context, 'f'), 'x');
  mkdirSync(join(root, 'directory'));
  const expected = await summarize(['f']);
  for (const destination of ['/directory', '/new-name', '/new/'])
    assert.deepEqual((await add(destination, ['f'])).summary, expected, destination);
  await assert.rejects(summarize(['f'], { chown: 'somebody' }), /nothing here needs a container/);
});

test('--parents keeps directories from behind the pivot', async () => {
  const { root, context, add } = place();
  mkdirSync(join(context, 'a/b/c'), { recursive: true });
  writeFileSync(join(context, 'a/b/c/f'), '');
  await add('/all/', ['a/b/c/f'], { parents: true });
  await add('/some/', ['a/./b/c/f'], { parents: true });
  assert.ok(existsSync(join(root, 'all/a/b/c/f')));
  assert.ok(existsSync(join(root, 'some/b/c/f')));
  assert.ok(!existsSync(join(root, 'some/a')));
});

test('--parents: a linked directory has its own path, one file takes a new name, .. is gone', async () => {
  const { root, context, add } = place();
  mkdirSync(join(context, 'd/sub'), { recursive: true });
  writeFileSync(join(context, 'd/sub/f'), '');
  writeFileSync(join(context, 'a'), '');
  symlinkSync('sub', join(context, 'd/link'));
  await add('/linked', ['d/link'], { parents: true });
  assert.deepEqual(readdirSync(join(root, 'linked/d')), ['sub']);
  await add('/named', ['a'], { parents: true });
  assert.ok(statSync(join(root, 'named')).isFile());
  await add('/below/', ['d/../a'], { parents: true });
  assert.deepEqual(readdirSync(join(root, 'below')), ['a']);
});

test('excludes leave out, exceptions bring back', async () => {
  const { root, context, add } = place();
  mkdirSync(join(context, 'd'));
  for (const name of ['keep', 'drop']) writeFileSync(join(context, 'd', name), '');
  await add('/to/', ['.'], { excludes: ['d/*', '!d/keep'] });
  assert.deepEqual(readdirSync(join(root, 'to/d')), ['keep']);
  await assert.rejects(add('/x/', ['d/drop'], { excludes: ['d/drop'], ignoreFile: '.containerignore' }), {
    code: 'missing-file',
    message: /filtered out using \.containerignore/,
  });
});

test('archives are unpacked by ADD, plain and compressed, and copied by COPY', async () => {
  const { root, context, add } = place();
  mkdirSync(join(context, 'in'));
  writeFileSync(join(context, 'in/f'), 'x');
  execFileSync('tar', ['-C', join(context, 'in'), '-czf', join(context, 'a.tgz'), 'f']);
  await add('/added', ['a.tgz'], { extract: true });
  await add('/copied', ['a.tgz']);
  assert.equal(readFileSync(join(root, 'added/f'), 'utf8'), 'x');
  assert.ok(statSync(join(root, 'copied')).isFile());
});

test('D: a hole in an archive is one in the file, of whatever size, and no zeros are written for it', async () => {
  const { root, context, add, summarize } = place();
  const archive = (name: string, at: number) => {
    const fd = openSync(join(context, 'f'), 'w');
    writeSync(fd, 'data', at);
    ftruncateSync(fd, 2 ** 40);
    closeSync(fd);
    execFileSync('tar', ['-C', context, '-cSzf', join(context, name), 'f']);
    rmSync(join(context, 'f'));
  };
  archive('a.tgz', 2 ** 39);
  archive('b.tgz', 2 ** 38);
  const { summary } = await add('/a', ['a.tgz'], { extract: true });
  const fd = openSync(join(root, 'a/f'), 'r');
  const bytes = Buffer.alloc(6);
  readSync(fd, bytes, 0, 6, 2 ** 39 - 1);
  const { size, blocks } = fstatSync(fd);
  closeSync(fd);
  assert.equal(bytes.toString(), '\0data\0');
  assert.equal(size, 2 ** 40);
  assert.ok(blocks < 100, `${blocks} blocks`);
  assert.deepEqual(await summarize(['a.tgz'], { extract: true }), summary);
  assert.notDeepEqual(await summarize(['b.tgz'], { extract: true }), summary);
});

const OWN = process.geteuid?.() === 0 ? 0 : (process.getuid?.() as number);

test('an archive: its root entry is the destination, and a hard link has the last word on mode and time', async () => {
  const { root, context, add } = place();
  mkdirSync(join(root, 'to'));
  const archive = tarOf([
    { name: './', mode: 0o711, mtime: 1000 },
    { name: 'f', body: 'x', mode: 0o755, mtime: 2000 },
    { name: 'h', linkname: 'f', type: '1', mode: 0o640, mtime: 3000 },
  ]);
  writeFileSync(join(context, 'a.tar'), archive);
  await add('/to', ['a.tar'], { extract: true });
  assert.equal(statSync(join(root, 'to')).mode & 0o7777, 0o711);
  assert.equal(statSync(join(root, 'to')).mtimeMs, 1_000_000);
  const { mode, mtimeMs, nlink, uid } = statSync(join(root, 'to/f'));
  assert.deepEqual([mode & 0o7777, mtimeMs, nlink, uid], [0o640, 3_000_000, 2, OWN]);
});

test('T04: the entry of a hard link to a link changes nothing behind it', async () => {
  const { root, context, add } = place();
  const victim = join(base, 'victim');
  writeFileSync(victim, 'v', { mode: 0o600 });
  const archive = tarOf([
    { name: 's', linkname: victim },
    { name: 'h', linkname: 's', type: '1', mode: 0o4777 },
  ]);
  writeFileSync(join(context, 'a.tar'), archive);
  await add('/to', ['a.tar'], { extract: true }).catch(() => undefined);
  assert.equal(statSync(victim).mode & 0o7777, 0o600);
  assert.ok(lstatSync(join(root, 'to/s')).isSymbolicLink());
});

test('T01: links of an archive lead nowhere above the directory it is unpacked to', async () => {
  const { root, context, add } = place();
  mkdirSync(join(root, 'to'));
  const archive = tarOf([
    { name: 'up', linkname: '..' },
    { name: 'up/x', body: 'x' },
    { name: 'r/' },
    { name: 'top', linkname: '/r' },
    { name: 'top/y', body: 'y' },
    { name: '../z', body: 'z' },
  ]);
  writeFileSync(join(context, 'a.tar'), archive);
  await add('/to', ['a.tar'], { extract: true });
  assert.deepEqual(readdirSync(root), ['to']);
  assert.deepEqual(readdirSync(join(root, 'to')), ['r', 'top', 'up', 'x', 'z']);
  assert.deepEqual(readdirSync(join(root, 'to/r')), ['y']);
});

test('a download: rules leave it alone, and one that may be unpacked goes where it would go otherwise', async () => {
  const tar = tarOf([{ name: 'f', body: 'packed' }]);
  const server = createServer((request, response) => {
    response.end(request.url === '/plain.txt' ? 'plain' : tar);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    const { root, add } = place();
    const text = (path: string) => readFileSync(join(root, path), 'utf8');
    await add('/kept', [`${url}/plain.txt`], { excludes: ['*.txt'] });
    assert.equal(text('kept'), 'plain');
    const unpack = { extractRemote: true };
    await add('/file', [`${url}/plain.txt`], unpack);
    await add('/file', [`${url}/plain.txt`], unpack);
    assert.equal(text('file'), 'plain');
    await add('/directory/', [`${url}/plain.txt`], unpack);
    await add('/directory', [`${url}/plain.txt`], { ...unpack, excludes: ['*'] });
    assert.equal(text('directory/plain.txt'), 'plain');
    await add('/tree', [`${url}/t.tar`], unpack);
    assert.equal(text('tree/f'), 'packed');
    await assert.rejects(add('/file', [`${url}/t.tar`], unpack), { code: 'bad-argument' });
  } finally {
    server.close();
  }
});

test('inline data is a file', async () => {
  const { root, add } = place();
  await add('/script', [{ name: 'EOF', data: Buffer.from('echo') }], { chmod: '0755' });
  assert.equal(readFileSync(join(root, 'script'), 'utf8'), 'echo');
  assert.equal(statSync(join(root, 'script')).mode & 0o777, 0o755);
});

test('I1: a source outside the context is refused', async () => {
  const { add } = place();
  for (const source of ['../root', 'a/../../root'])
    await assert.rejects(add('/x', [source]), {
      code: 'unsafe-path',
      message: /possible escaping context directory/,
    });
});

test('I1: a link in the context that leads outside is resolved inside', async () => {
  const { context, add } = place();
  symlinkSync('/etc/hostname', join(context, 'link'));
  await assert.rejects(add('/x', ['link']), { code: 'missing-file' });
});

test('I2, B25: links in the container lead nowhere outside', async () => {
  const { root, context, add } = place();
  const outside = join(base, `outside-${count}`);
  mkdirSync(outside);
  writeFileSync(join(context, 'f'), 'x');
  symlinkSync(outside, join(root, 'abs'));
  symlinkSync('../../../../../../../../', join(root, 'up'));
  mkdirSync(join(root, 'real'));
  symlinkSync('/real', join(root, 'inside'));
  await add('/abs/', ['f']).catch(() => undefined);
  await add('/up/', ['f']);
  await add('/inside/', ['f']);
  assert.deepEqual(readdirSync(outside), []);
  assert.ok(existsSync(join(root, 'f')));
  assert.ok(existsSync(join(root, 'real/f')));
});

test('I3: a link at the destination is replaced, not written through', async () => {
  const { root, context, add } = place();
  const victim = join(base, `victim-${count}`);
  writeFileSync(victim, 'safe');
  mkdirSync(join(root, 'd'));
  symlinkSync(victim, join(root, 'd/f'));
  mkdirSync(join(context, 'd'));
  writeFileSync(join(context, 'd/f'), 'new', { mode: 0o777 });
  await add('/d', ['d']);
  assert.equal(readFileSync(victim, 'utf8'), 'safe');
  assert.ok(lstatSync(join(root, 'd/f')).isFile());
});

test('I4, B31: fifos are made, sockets skipped, nothing waits', async () => {
  const { root, context, add } = place();
  mkdirSync(join(context, 'd'));
  execFileSync('mkfifo', [join(context, 'd/fifo')]);
  await add('/to', ['d'], { extract: true });
  assert.ok(lstatSync(join(root, 'to/fifo')).isFIFO());
});

const BAD: readonly [what: string, sources: string[], options: AddOptions, code: string][] = [
  ['a missing file', ['none'], {}, 'missing-file'],
  ['a pattern without matches', ['none*'], {}, 'missing-file'],
  ['a malformed pattern', ['[a'], {}, 'bad-argument'],
  ['an unknown user', ['f'], { chown: 'nobody-here' }, 'bad-user'],
  ['neither user nor group', ['f'], { chown: ':' }, 'bad-user'],
  ['a bad mode', ['f'], { chmod: 'u=q' }, 'bad-option'],
  ['a checksum of a local file', ['f'], { checksum: `sha256:${'0'.repeat(64)}` }, 'bad-option'],
  ['an empty name', [''], {}, 'bad-argument'],
  ['a name that would hide another', ['.wh.f'], {}, 'unsafe-path'],
];
for (const [what, sources, options, code] of BAD)
  test(`${what} is an error`, async () => {
    const { context, root, add } = place();
    for (const name of ['f', '.wh.f']) writeFileSync(join(context, name), '');
    await assert.rejects(add('/to/', sources, options), { code });
    assert.deepEqual(
      readdirSync(root, { recursive: true }).filter((name) => name !== 'to'),
      [],
    );
  });

test('a pattern passes over links that lead nowhere one could look', async () => {
  const { context, root, add } = place();
  mkdirSync(join(context, 'd'));
  writeFileSync(join(context, 'd/a'), '');
  symlinkSync('x'.repeat(4000), join(context, 'long'));
  symlinkSync('circle', join(context, 'circle'));
  await add('/to/', ['*/a']);
  assert.deepEqual(readdirSync(join(root, 'to')), ['a']);
  await add('/to/', ['*/*']);
  await assert.rejects(add('/to/', ['long/a']), { code: 'ENAMETOOLONG' });
  await assert.rejects(add('/to/', ['circle/a']), { code: 'unsafe-path' });
});

test.run();
