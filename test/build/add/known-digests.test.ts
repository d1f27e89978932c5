import { deepEqual, equal, notDeepEqual, ok } from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { summarizeSources } from '../../../build/add/add.ts';
import { DigestFile } from '../../../build/add/known-digests.ts';
import { RootedDirectory } from '../../../build/add/rooted.ts';
import type { BuildSurroundings } from '../../../build/container/contract.ts';
import { type FileStatus, statDescriptor } from '../../../store/kernel/index.ts';

const test = suite('known digests');
const base = mkdtempSync(join(tmpdir(), 'known-digests-'));
process.on('exit', () => rmSync(base, { recursive: true, force: true }));

function mountOf(directory: string): number {
  using root = new RootedDirectory(directory);
  return statDescriptor(root.fd).mountId;
}

const SECOND = 1_000_000_000n;
const CHANGED = 1000n * SECOND + 5n;
const status: FileStatus = {
  mode: 0o100644,
  uid: 0,
  gid: 0,
  sizeBytes: 5,
  links: 1,
  inode: 77,
  device: 3,
  deviceMajor: 0,
  deviceMinor: 0,
  mountId: mountOf(base),
  modifiedNs: CHANGED,
  accessedNs: CHANGED,
  changedNs: CHANGED,
  blocks: 8,
};
const digest = Buffer.alloc(32, 9);
const LATER_MS = 2_000_000;

function saved(name: string, changes: Partial<FileStatus> = {}, readAtMs = LATER_MS): string {
  const directory = join(base, name);
  const file = DigestFile.open(directory, base);
  file?.put({ ...status, ...changes }, digest, readAtMs);
  file?.save();
  return directory;
}

test('finds a file again as long as nothing about it changed', () => {
  const file = DigestFile.open(saved('same'), base);
  ok(Buffer.from(file?.get(status) ?? []).equals(digest));
  for (const change of [
    { inode: 78 },
    { device: 4 },
    { mountId: -1 },
    { sizeBytes: 6 },
    { modifiedNs: CHANGED + 1n },
    { changedNs: CHANGED + 1n },
  ])
    equal(file?.get({ ...status, ...change }), undefined, Object.keys(change)[0]);
});

test('keeps nothing of a file that changed just before it was read, as git has it', () => {
  const changedMs = Number(CHANGED / 1_000_000n);
  for (const [name, changes, readAtMs, isKept] of [
    ['at once', {}, changedMs, false],
    ['50 ms later', {}, changedMs + 50, false],
    ['150 ms later', {}, changedMs + 150, true],
    ['whole seconds, 1 s later', { changedNs: 1000n * SECOND }, 1_001_000, false],
    ['whole seconds, 3 s later', { changedNs: 1000n * SECOND }, 1_003_000, true],
    ['from the future', { changedNs: CHANGED * 10n }, LATER_MS, false],
  ] as const) {
    const file = DigestFile.open(saved(name, changes, readAtMs), base);
    equal(file?.get({ ...status, ...changes }) !== undefined, isKept, name);
  }
});

test('a damaged file counts as none, and the next build writes a good one', () => {
  const directory = saved('damaged');
  const [name] = readdirSync(directory);
  const path = join(directory, name as string);
  const bytes = readFileSync(path);
  bytes[bytes.length - 1] = 1;
  writeFileSync(path, bytes);
  equal(DigestFile.open(directory, base)?.get(status), undefined);
  saved('damaged');
  ok(DigestFile.open(directory, base)?.get(status));
});

test('SECURITY: a directory that others may write to is not believed', () => {
  const directory = saved('open');
  chmodSync(directory, 0o777);
  equal(DigestFile.open(directory, base), undefined);
});

test('keeps the files of a limited number of contexts', () => {
  const directory = join(base, 'many');
  mkdirSync(directory, { mode: 0o700 });
  for (let n = 0; n < 100; n += 1) writeFileSync(join(directory, `old${n}`), '');
  saved('many');
  ok(readdirSync(directory).length <= 65);
});

test('what is known is not read, what is not is kept, and the summary is the same', async () => {
  const context = join(base, 'context');
  mkdirSync(join(context, 'd'), { recursive: true });
  writeFileSync(join(context, 'd/a'), 'a');
  writeFileSync(join(context, 'd/b'), 'b');
  const kept = new Map<number, Uint8Array>();
  const counts = { get: 0, hit: 0, put: 0 };
  const knownDigests = {
    get: ({ inode }: FileStatus) => {
      counts.get += 1;
      const digest = kept.get(inode);
      if (digest) counts.hit += 1;
      return digest;
    },
    put: ({ inode }: FileStatus, given: Uint8Array) => {
      counts.put += 1;
      kept.set(inode, given);
    },
  };
  const surroundings = { workingDirectory: base, now: () => new Date() } as unknown as BuildSurroundings;
  const noContainer = () => Promise.reject(new Error('a container was asked for'));
  const look = () =>
    summarizeSources(surroundings, noContainer, ['d'], { contextDirectory: context, knownDigests });
  const plain = await summarizeSources(surroundings, noContainer, ['d'], { contextDirectory: context });
  const first = await look();
  deepEqual(first, plain);
  equal(counts.put, 2);
  const second = await look();
  deepEqual(second, plain);
  deepEqual([counts.hit, counts.put], [2, 2]);
  for (const inode of kept.keys()) kept.set(inode, Buffer.alloc(32));
  notDeepEqual(await look(), plain, 'files were read although their digests are known');
});

test.run();
