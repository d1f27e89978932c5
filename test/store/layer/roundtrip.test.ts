import { deepEqual, equal, ok } from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import fc from 'fast-check';
import { suite } from 'uvu';
import { digestOf } from '../../../image/digest.ts';
import { assembleLayer, packLayer } from '../../../store/layer/index.ts';
import { readOverride } from '../../../store/layer/owner-override.ts';
import { TAR_TYPE } from '../../../store/layer/tar-entry.ts';
import { archive, directory, type EntrySpec, file, hardLink, symlink } from './archive-builder.ts';
import { isRoot, Scratch, tree } from './scratch.ts';

const test = suite('store/layer round trips');

const name = fc
  .uint8Array({ minLength: 1, maxLength: 12 })
  .map((bytes) => Buffer.from(bytes).toString('latin1').replace(/[/\0]/g, '_'))
  .filter((text) => text !== '.' && text !== '..' && !text.startsWith('.wh.'));
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
const metadata = fc.record({
  mode: fc.integer({ min: 0, max: 0o7777 }).map((mode) => mode | 0o500),
  modifiedNs: fc
    .bigInt({ min: -2_000_000_000n, max: 4_000_000_000n })
    .map((seconds) => seconds * 1_000_000_000n),
});
const owner = fc.record({
  uid: fc.integer({ min: 0, max: 70_000 }),
  gid: fc.integer({ min: 0, max: 70_000 }),
});
const content = fc.oneof(fc.uint8Array({ maxLength: 1500 }), fc.constant(new Uint8Array(70_000).fill(7)));

const entry: fc.Arbitrary<EntrySpec> = fc
  .tuple(path, metadata, isRoot ? owner : fc.constant({}), content, fc.nat(9), path)
  .map(([at, meta, owned, bytes, kind, other]) => {
    if (kind < 5) return file(at, bytes, { ...meta, ...owned });
    if (kind < 7) return directory(`${at}/`, { ...meta, ...owned });
    if (kind < 8) return symlink(at, other, { ...owned, modifiedNs: meta.modifiedNs });
    if (kind < 9) return { name: at, type: TAR_TYPE.fifo, ...meta, ...owned };
    return file(at, bytes, { ...meta, ...owned, xattrs: { 'user.note': other } });
  });

async function pack(root: string): Promise<{ bytes: Buffer; diffId: string; tarSplit: Uint8Array | string }> {
  const parts: Buffer[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      parts.push(chunk);
      done();
    },
  });
  const result = await packLayer(root, sink, { whiteouts: 'overlay' });
  return { ...result, bytes: Buffer.concat(parts) };
}

test('apply, pack, apply, pack gives the same diffID, and tar-split the same bytes', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { maxLength: 12 }), fc.boolean(), async (entries, isSmall) => {
      using first = new Scratch();
      using second = new Scratch();
      const padding = isSmall ? [] : [file('zzz big', new Uint8Array(1_200_000))];
      const original = archive(...entries, ...padding);
      const applied = await first.apply(original).catch((error: { code: string }) => {
        // A path may lead through a file, or a link into nowhere or in circles.
        ok(['system', 'unsafe-path'].includes(error.code), String(error));
      });
      if (!applied) return;
      ok((await buffer(assembleLayer(applied.tarSplit, first.root))).equals(original));
      const once = await pack(first.root);
      equal(once.diffId, digestOf(once.bytes));
      const again = await second.apply(once.bytes);
      equal(again.diffId, once.diffId);
      equal((await pack(second.root)).diffId, once.diffId);
      deepEqual(tree(second.root), tree(first.root));
      for (const { tarSplit } of [once, again])
        ok((await buffer(assembleLayer(tarSplit, second.root))).equals(once.bytes));
    }),
    { numRuns: 60, interruptAfterTimeLimit: 8000 },
  );
});

test('hard links, also of symlinks, come back as links to the first name', async () => {
  using first = new Scratch();
  using second = new Scratch();
  await first.apply(
    archive(file('b', 'x'), hardLink('a', 'b'), hardLink('c/d', 'b'), symlink('s', 'b'), hardLink('t', 's')),
  );
  const once = await pack(first.root);
  await second.apply(once.bytes);
  equal((await pack(second.root)).diffId, once.diffId);
  ok(tree(second.root).includes('t -> b'));
});

if (isRoot) {
  test('owners, mapped both ways, and file capabilities', async () => {
    using first = new Scratch();
    using second = new Scratch();
    const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex').toString('latin1');
    const bytes = archive(
      file('cap', 'x', { uid: 5, gid: 7, mode: 0o4755, xattrs: { 'security.capability': capability } }),
    );
    await first.apply(bytes);
    ok((await pack(first.root)).bytes.equals(bytes));
    const range = [{ containerId: 0, hostId: 100_000, size: 65_536 }];
    const idMappings = { uids: range, gids: range };
    const plain = archive(file('f', 'x', { uid: 5, gid: 7 }));
    await second.apply(plain, { idMappings });
    const { diffId, uids } = await packLayer(second.root, undefined, { whiteouts: 'overlay', idMappings });
    equal(diffId, digestOf(plain));
    deepEqual(uids, [5]);
    await second.apply(archive(file('g', '', { uid: 70_000 })), { idMappings }).then(
      () => ok(false),
      (error: { code: string; message: string }) => {
        equal(error.code, 'bad-layer');
        equal(error.message, 'cannot unpack "g": the container uid 70000 cannot be mapped to a host uid');
      },
    );
  });
}

test('an archive that nobody reads has the digest and the size of one that is read', async () => {
  using scratch = new Scratch();
  const files = Array.from({ length: 300 }, (_, at) => file(`f${at}`, new Uint8Array(at * 100).fill(at)));
  await scratch.apply(archive(...files, file('big', new Uint8Array(9_000_001).fill(3))));
  const { bytes, diffId } = await pack(scratch.root);
  const unread = await packLayer(scratch.root, undefined, { whiteouts: 'overlay' });
  equal(unread.diffId, digestOf(bytes));
  equal(unread.diffId, diffId);
  equal(unread.sizeBytes, bytes.length);
});

const canOverride = !isRoot;
test('owners that cannot be set are noted in an attribute and packed from it', async () => {
  using scratch = new Scratch();
  mkdirSync(scratch.path('x'));
  const bytes = archive(
    directory('d/', { uid: 0, gid: 12, mode: 0o2755 }),
    file('f', 'x', { uid: 1234, gid: 5678, mode: 0o4755 }),
    { name: 'null', type: TAR_TYPE.character, deviceMajor: 1, deviceMinor: 3, uid: 0, gid: 0, mode: 0o666 },
  );
  if (!canOverride) return void console.log('SKIP ownership notes: needs an ordinary user');
  await scratch.apply(bytes, { ignoreChownErrors: true });
  const real = { uid: 0, gid: 0, mode: 0o100644, deviceMajor: 0, deviceMinor: 0 };
  equal(readOverride(scratch.path('f'), real)?.uid, 1234);
  const options = { whiteouts: 'overlay', ownerOverrides: true, exclude: ['x'] } as const;
  equal((await packLayer(scratch.root, undefined, options)).diffId, digestOf(bytes));
});

test.run();
