import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { suite } from 'uvu';
import { BoltBucket } from '../../../store/bolt/bucket.ts';
import { updateBolt } from '../../../store/bolt/database.ts';
import { checksum, metaPage } from '../../../store/bolt/format.ts';
import { readBoltState } from '../../../store/bolt/read.ts';
import { planCommit } from '../../../store/bolt/write.ts';
import { lockWithFlock } from '../../../store/kernel/flock.ts';

const test = suite('store/bolt');
const PODMAN = gunzipSync(readFileSync(new URL('../../../fixtures/bolt/podman-ipam.db.gz', import.meta.url)));
let directory: string;
let count = 0;
test.before(() => {
  directory = mkdtempSync(join(tmpdir(), 'slipway-bolt-'));
});
test.after(() => rmSync(directory, { recursive: true, force: true }));

const newPath = () => join(directory, `${++count}.db`);

type Plain = { [key: string]: string | Plain };

/** Keys and values with one character for each byte. */
function plain(bucket: BoltBucket): Plain {
  return Object.fromEntries(
    bucket
      .entries()
      .map(([key, value]) => [
        key.toString('latin1'),
        value instanceof BoltBucket ? plain(value) : value.toString('latin1'),
      ]),
  );
}

const contentOf = (file: Buffer) => plain(readBoltState(file).root);
const isCorrupt = { code: 'corrupt-store' };

test('checksums are FNV-1a of 64 bits', () => {
  equal(checksum(Buffer.from('')), 0xcbf29ce484222325n);
  equal(checksum(Buffer.from('a')), 0xaf63dc4c8601ec8cn);
});

test('a file that Podman wrote is read, with its inline and its paged buckets', () => {
  const { both, podman } = contentOf(PODMAN) as {
    both: Record<string, Plain>;
    podman: Record<string, Plain>;
  };
  deepEqual(Object.keys(both), ['10.201.7.0/24', 'fd00:0:0:201::/64', 'ids']);
  equal(both['10.201.7.0/24']?.lastIP, '\x0a\xc9\x07\x04');
  equal(Object.keys(both.ids ?? {}).length, 2);
  deepEqual(Object.values(podman.ids ?? {}), ['["10.88.0.2"]']);
});

test('a new file begins with what bbolt writes, and keeps what is put into it', async () => {
  const path = newPath();
  await updateBolt(path, () => undefined);
  const file = readFileSync(path);
  equal(file.length, 4 * 4096);
  deepEqual(contentOf(file), {});
  await updateBolt(path, (root) =>
    root
      .ensureBucket('a')
      .ensureBucket('b')
      .put('k', Buffer.from([0, 255])),
  );
  await updateBolt(path, (root) => root.ensureBucket('a').put('empty', ''));
  deepEqual(contentOf(readFileSync(path)), { a: { b: { k: '\0\xff' }, empty: '' } });
});

test('a change that throws, and one that changes nothing, leave the file as it was', async () => {
  const path = newPath();
  writeFileSync(path, PODMAN);
  await rejects(
    updateBolt(path, (root) => {
      root.ensureBucket('x').put('y', 'z');
      throw new Error('no');
    }),
    /^Error: no$/,
  );
  await updateBolt(path, (root) => root.ensureBucket('both').delete('nothing'));
  ok(readFileSync(path).equals(PODMAN));
});

test('many changes give what a map would hold: overflowing values, split pages, freed pages', async () => {
  const path = newPath();
  const model: Record<string, Record<string, string>> = {};
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((seed / 2_147_483_648) * below);
  };
  for (let round = 0; round < 25; round += 1) {
    await updateBolt(path, (root) => {
      for (let step = 0; step < 120; step += 1) {
        const name = `bucket${random(4)}`;
        const key = `key${random(900)}`;
        model[name] ??= {};
        const own = model[name];
        const value = 'v'.repeat(random(40) === 0 ? random(20_000) : random(70));
        if (random(3) > 0) {
          own[key] = value;
          root.ensureBucket(name).put(key, value);
        } else {
          delete own[key];
          root.ensureBucket(name).delete(key);
        }
      }
    });
    deepEqual(contentOf(readFileSync(path)), JSON.parse(JSON.stringify(model)));
  }
  const before = readFileSync(path).length;
  for (let round = 0; round < 30; round += 1)
    await updateBolt(path, (root) => root.ensureBucket('bucket1').put('turn', String(round)));
  equal(readFileSync(path).length, before, 'pages that are free again are used again');
});

test('a kill at any write leaves the old state or the new one', () => {
  const state = readBoltState(PODMAN);
  state.root.ensureBucket('both').ensureBucket('ids').put('new', 'x'.repeat(5000));
  const commit = planCommit(state);
  ok(commit);
  const old = contentOf(PODMAN);
  const file = Buffer.concat([PODMAN, Buffer.alloc(PODMAN.length)]);
  for (const { id, bytes } of commit.pages) {
    bytes.subarray(0, bytes.length / 2).copy(file, id * 4096);
    deepEqual(contentOf(file), old);
    bytes.copy(file, id * 4096);
    deepEqual(contentOf(file), old);
  }
  const meta = metaPage(commit.meta);
  for (let length = 16; length < 16 + 64; length += 1) {
    const torn = Buffer.from(file);
    meta.bytes.copy(torn, meta.id * 4096, 0, length);
    deepEqual(contentOf(torn), old);
  }
  meta.bytes.copy(file, meta.id * 4096);
  equal((contentOf(file) as { both: { ids: Plain } }).both.ids.new, 'x'.repeat(5000));
});

test('where either meta is damaged the other one counts', () => {
  for (const page of [0, 1]) {
    const file = Buffer.from(PODMAN);
    file[page * 4096 + 20] = 9;
    ok(contentOf(file).both);
  }
});

const LEAF = 2 * 4096;
const HOSTILE: readonly (readonly [string, (file: Buffer) => Buffer | undefined])[] = [
  ['too short for a page', (file) => file.subarray(0, 60)],
  ['cut off', (file) => file.subarray(0, 4 * 4096)],
  ['text', () => Buffer.from('{"not": "a database"}'.repeat(1000))],
  ['no meta', (file) => void file.fill(0, 0, 8192)],
  ['a page of another id', (file) => void file.writeBigUInt64LE(5n, LEAF)],
  ['a page of another kind', (file) => void file.writeUInt16LE(16, LEAF + 8)],
  ['more elements than fit', (file) => void file.writeUInt16LE(60_000, LEAF + 10)],
  ['an endless overflow', (file) => void file.writeUInt32LE(0xffff_ffff, LEAF + 12)],
  ['a value beyond its page', (file) => void file.writeUInt32LE(0x7fff_ffff, LEAF + 16 + 12)],
  ['a key beyond its page', (file) => void file.writeUInt32LE(0x7fff_ffff, LEAF + 16 + 4)],
  ['keys out of order', (file) => void file.fill('zz', LEAF + 16 + file.readUInt32LE(LEAF + 20))],
];

test('damaged files are refused, each with one error', () => {
  for (const [what, damage] of HOSTILE) {
    const copy = Buffer.from(PODMAN);
    const file = damage(copy) ?? copy;
    let error: unknown;
    try {
      readBoltState(file);
    } catch (caught) {
      error = caught;
    }
    equal((error as { code?: string } | undefined)?.code, isCorrupt.code, what);
  }
});

test('buckets that lead back to themselves, or into each other, are refused', () => {
  const state = readBoltState(PODMAN);
  const [root = 0] = state.root.pages;
  const podman = state.root.bucket('podman');
  ok(podman);
  const page = root * 4096;
  const element = page + 16;
  const value = element + PODMAN.readUInt32LE(element + 4) + PODMAN.readUInt32LE(element + 8);
  for (const target of [root, ...podman.pages]) {
    const file = Buffer.from(PODMAN);
    file.writeBigUInt64LE(BigInt(target), value);
    let error: unknown;
    try {
      readBoltState(file);
    } catch (caught) {
      error = caught;
    }
    equal((error as { code?: string } | undefined)?.code, isCorrupt.code);
  }
});

test('no changed byte does more than be refused', () => {
  const used = Buffer.from(PODMAN);
  let refused = 0;
  for (let at = 0; at < 7 * 4096; at += at % 4096 < 160 ? 1 : 97) {
    for (const flip of [0x01, 0x80]) {
      used[at] = (used[at] as number) ^ flip;
      try {
        planCommit(readBoltState(used));
      } catch (error) {
        equal((error as { code?: string }).code, isCorrupt.code, `byte ${at}: ${error}`);
        refused += 1;
      }
      used[at] = (used[at] as number) ^ flip;
    }
  }
  ok(refused > 100, `${refused}`);
});

test('errors name the file', async () => {
  const path = newPath();
  writeFileSync(path, 'x'.repeat(10_000));
  await rejects(
    updateBolt(path, () => undefined),
    { ...isCorrupt, message: `${path} is no readable bolt database: it has no valid meta page` },
  );
  symlinkSync(path, `${path}.link`);
  await rejects(
    updateBolt(`${path}.link`, () => undefined),
    { code: 'system' },
  );
});

test('a transaction waits for whoever holds the file, and can be called off', async () => {
  const path = newPath();
  await updateBolt(path, () => undefined);
  const fd = openSync(path, 'r');
  await lockWithFlock(fd);
  const reason = new Error('enough');
  await rejects(
    updateBolt(path, () => 1, { signal: AbortSignal.abort(reason) }),
    reason,
  );
  let isDone = false;
  const waiting = updateBolt(path, () => 2).then((value) => {
    isDone = true;
    return value;
  });
  await new Promise((resolve) => setTimeout(resolve, 40));
  equal(isDone, false);
  closeSync(fd);
  equal(await waiting, 2);
});

const hasFlock = spawnSync('flock', ['--version']).status === 0;
const OTHERS = 'the lock is the one that other programs take';
const withOthers = async () => {
  const path = newPath();
  await updateBolt(path, (root) => {
    root.ensureBucket('held');
    equal(spawnSync('flock', ['--nonblock', path, 'true']).status, 1);
  });
  equal(spawnSync('flock', ['--nonblock', path, 'true']).status, 0);
};
if (hasFlock) test(OTHERS, withOthers);
else {
  console.log(`SKIP ${OTHERS}: flock is not installed`);
  test.skip(OTHERS, withOthers);
}

test.run();
