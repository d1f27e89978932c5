import { deepEqual, equal, ok, rejects, throws } from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { suite } from 'uvu';
import { packCache, readPackedCache, unpackCache } from '../../../build/caches/archive.ts';
import { findCaches, listCaches, removeCache, removeLeftovers } from '../../../build/caches/list.ts';
import { CacheLocks, cacheKey, openCaches } from '../../../build/caches/place.ts';
import { tarOf } from '../../support/tar.ts';

const test = suite('cache mounts on disk');
const base = mkdtempSync(join(tmpdir(), 'caches-'));
process.on('exit', () => rmSync(base, { recursive: true, force: true }));
const [uid, gid] = [process.geteuid?.() ?? 0, process.getegid?.() ?? 0];
const LIMITS = { limitBytes: 1e6, limitEntries: 1000 };

async function makeCache(parent: string, name: string) {
  openCaches(parent);
  const key = cacheKey(name, uid, gid);
  using locks = new CacheLocks(parent, key);
  await locks.use(undefined);
  locks.describe({ name, uid, gid });
  mkdirSync(join(parent, key, 'd'), { recursive: true });
  writeFileSync(join(parent, key, 'd/f'), 'hello');
  chmodSync(join(parent, key), 0o750);
  symlinkSync('../../../etc/passwd', join(parent, key, 'd/l'));
  return key;
}

test('what is exported is the same when it is imported elsewhere', async () => {
  const [from, to] = [join(base, 'from'), join(base, 'to')];
  const key = await makeCache(from, 'npm');
  const [cache] = listCaches(from);
  ok(cache);
  deepEqual(
    [cache.name, cache.key, cache.fileCount, cache.sizeBytes, cache.inUse],
    ['npm', key, 1, 5, false],
  );
  const file = join(base, 'npm.tar.zst');
  const packed = readPackedCache(await packCache(from, cache, file));
  deepEqual(packed, { name: 'npm', uid, gid, mode: 0o750 });
  ok(packed);
  for (let times = 0; times < 2; times += 1) equal(await unpackCache(to, packed, file, LIMITS), key);
  equal(readFileSync(join(to, key, 'd/f'), 'utf8'), 'hello');
  equal(readlinkSync(join(to, key, 'd/l')), '../../../etc/passwd');
  equal(lstatSync(join(to, key)).mode & 0o777, 0o750);
  deepEqual(readdirSync(to).sort(), ['buildah-cache-lockfiles', key].sort());
  equal(listCaches(to)[0]?.name, 'npm');
});

test('SECURITY: a hostile archive writes nothing outside, fills nothing, and leaves the old cache alone', async () => {
  const parent = join(base, 'hostile');
  const key = await makeCache(parent, 'npm');
  const packed = { name: 'npm', uid, gid, mode: 0o755 };
  const sentinel = join(base, 'sentinel');
  writeFileSync(sentinel, 'untouched');
  for (const [name, entries] of [
    ['dots', [{ name: '../../sentinel', body: 'x' }]],
    ['absolute', [{ name: sentinel, body: 'x' }]],
    [
      'a link, then through it',
      [
        { name: 'l', linkname: base },
        { name: 'l/sentinel', body: 'x' },
      ],
    ],
    [
      'a hard link out',
      [
        { name: 'h', linkname: '../../sentinel', type: '1' },
        { name: 'h', body: 'x' },
      ],
    ],
  ] as const) {
    const file = join(base, 'hostile.tar.zst');
    writeFileSync(file, zstdCompressSync(tarOf(entries)));
    await unpackCache(parent, packed, file, LIMITS).catch((error: Error) =>
      ok(error.message.length > 0, name),
    );
    equal(readFileSync(sentinel, 'utf8'), 'untouched', name);
  }
  rmSync(join(parent, key), { recursive: true, force: true });
  await makeCache(parent, 'npm');
  for (const [name, bytes] of [
    ['too big', zstdCompressSync(tarOf([{ name: 'zeros', body: Buffer.alloc(2e6) }]))],
    ['cut off', zstdCompressSync(tarOf([{ name: 'f', body: 'x'.repeat(5000) }])).subarray(0, 40)],
    ['no archive', Buffer.from('something else altogether'.repeat(100))],
  ] as const) {
    const file = join(base, 'bad.tar.zst');
    writeFileSync(file, bytes);
    await rejects(unpackCache(parent, packed, file, LIMITS), name);
    equal(readFileSync(join(parent, key, 'd/f'), 'utf8'), 'hello', name);
  }
  deepEqual(readdirSync(parent).sort(), ['buildah-cache-lockfiles', key].sort());
});

test('SECURITY: devices of an archive are left out', async () => {
  const parent = join(base, 'devices');
  const file = join(base, 'devices.tar.zst');
  writeFileSync(
    file,
    zstdCompressSync(
      tarOf([
        { name: 'sda', type: '4' },
        { name: 'f', body: 'x' },
      ]),
    ),
  );
  const key = await unpackCache(parent, { name: 'x', uid, gid, mode: 0o755 }, file, LIMITS);
  deepEqual(readdirSync(join(parent, key)), ['f']);
});

test('annotations are checked', () => {
  const good = {
    'slipway.cache.name': '../../etc',
    'slipway.cache.uid': '0',
    'slipway.cache.gid': '0',
    'slipway.cache.mode': '755',
  };
  equal(readPackedCache(good)?.name, '../../etc');
  equal(readPackedCache({}), undefined);
  equal(readPackedCache(undefined), undefined);
  for (const change of [
    { 'slipway.cache.uid': '-1' },
    { 'slipway.cache.gid': '4294967295' },
    { 'slipway.cache.mode': '99' },
    { 'slipway.cache.name': 'a\u001b' },
    { 'slipway.cache.name': 'a'.repeat(5000) },
  ])
    throws(() => readPackedCache({ ...good, ...change }), /bad/);
});

test('a cache that is in use is listed as such, stays when others go, and is waited for', async () => {
  const parent = join(base, 'used');
  const key = await makeCache(parent, 'npm');
  const file = join(base, 'used.tar.zst');
  const locks = new CacheLocks(parent, key);
  await locks.use(undefined);
  const [cache] = listCaches(parent);
  ok(cache?.inUse);
  equal(await removeCache(parent, key), false);
  ok(existsSync(join(parent, key)));
  let packed = false;
  const packing = packCache(parent, cache, file).then(() => {
    packed = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 60));
  equal(packed, false);
  locks[Symbol.dispose]();
  await packing;
  equal(await removeCache(parent, key), true);
  deepEqual(listCaches(parent), []);
});

test('caches are found by name, key, or its start', async () => {
  const parent = join(base, 'find');
  const [a, b] = [await makeCache(parent, 'a'), await makeCache(parent, 'b')];
  const caches = listCaches(parent);
  const keys = (given: string) => findCaches(caches, given).map(({ key }) => key);
  deepEqual(keys('a'), [a]);
  deepEqual(keys(b), [b]);
  deepEqual(keys(b.slice(0, 6)), [b]);
  deepEqual(keys('c'), []);
});

test('what a killed import left is removed after a day', async () => {
  const parent = join(base, 'leftovers');
  const key = await makeCache(parent, 'a');
  const [old, young] = [`import-${key}-aaaaaa`, `import-${key}-bbbbbb`];
  for (const name of [old, young]) mkdirSync(join(parent, name));
  const longAgo = new Date(Date.now() - 2 * 86_400_000);
  utimesSync(join(parent, old), longAgo, longAgo);
  await removeLeftovers(parent, new Date());
  deepEqual(readdirSync(parent).sort(), ['buildah-cache-lockfiles', key, young].sort());
});

test('SECURITY: a directory of caches that is not ours is refused', () => {
  const link = join(base, 'link');
  mkdirSync(join(base, 'target'));
  symlinkSync(join(base, 'target'), link);
  throws(() => openCaches(link), { code: 'unsafe-path' });
});

test.run();
