import { deepEqual, equal, ok } from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { compareEntries, compareJson } from '../../../build/compare/difference.ts';
import { compareImages } from '../../../build/compare/images.ts';
import type { LayerEntry } from '../../../build/compare/tar-entries.ts';
import type { BuildOptions } from '../../../build/exec/options.ts';
import { platformOf } from '../../../image/platform.ts';
import { openBuildPlace } from '../../support/build-place.ts';
import { makeRootfs } from '../../support/rootfs.ts';

const test = suite('comparing images');
const base = mkdtempSync(join(tmpdir(), 'compare-images-'));
process.on('exit', () => rmSync(base, { recursive: true, force: true }));
const onlyRoot = process.geteuid?.() === 0 ? test : test.skip;
if (process.geteuid?.() !== 0) console.log('SKIP comparing images: running RUN needs root here');

const entry: LayerEntry = {
  path: '/f',
  type: 'file',
  mode: 0o644,
  owner: '0:0',
  modifiedNs: 0n,
  sizeBytes: 1,
  target: '',
  device: '0:0',
  more: '',
  digest: 'a'.repeat(64),
};

test('names the field in which an entry differs', () => {
  for (const [change, field, first, second] of [
    [{ mode: 0o4755 }, 'mode', '0644', '4755'],
    [{ owner: '1:0' }, 'owner', '0:0', '1:0'],
    [{ modifiedNs: 1_000_000_000n }, 'mtime', '1970-01-01T00:00:00Z', '1970-01-01T00:00:01Z'],
    [{ type: 'directory' }, 'type', 'file', 'directory'],
    [{ more: 'SCHILY.xattr.user.a=1' }, 'extended attributes', '', 'SCHILY.xattr.user.a=1'],
  ] as const)
    deepEqual(
      [...compareEntries([entry], [{ ...entry, ...change }])],
      [{ path: '/f', field, first, second }],
    );
});

test('names entries that one side lacks, another order, and other bytes around the same entries', () => {
  const other = { ...entry, path: '/g' };
  const fields = (a: readonly LayerEntry[], b: readonly LayerEntry[]) =>
    [...compareEntries(a, b)].map(({ path, field }) => [path, field]);
  deepEqual(fields([entry], [entry, other]), [['/g', 'existence']]);
  deepEqual(fields([other, entry], [entry]), [['/g', 'existence']]);
  deepEqual(fields([entry, other], [other, entry]), [['/f', 'order']]);
  deepEqual(fields([entry], [entry]), [[undefined, 'archive format']]);
});

test('names fields of documents by their path', () => {
  deepEqual(
    [...compareJson({ a: [1, { b: 2 }] }, { a: [1, { b: 3 }], c: 4 }, 'config')],
    [
      { field: 'config.a[1].b', first: '2', second: '3' },
      { field: 'config.c', first: 'not there', second: '4' },
    ],
  );
});

const FILE = `FROM scratch AS base
COPY rootfs/ /
FROM base
RUN mkdir /d; touch /d/f; ln -s f /d/l
COPY --link src /linked
COPY src /src
ENV A=1
LABEL b=c`;

/** A checkout of the same input at a path and a time of its own. */
function checkout(name: string, time: Date): string {
  const directory = join(base, name, 'context');
  mkdirSync(join(base, name));
  cpSync(source(), directory, { recursive: true, verbatimSymlinks: true });
  for (const path of ['src/a', 'src/sub/b', 'src/sub', 'src', 'rootfs/etc/passwd'])
    utimesSync(join(directory, path), time, time);
  return directory;
}

function source(): string {
  const directory = join(base, 'source');
  mkdirSync(join(directory, 'src/sub'), { recursive: true });
  writeFileSync(join(directory, 'src/a'), 'a');
  writeFileSync(join(directory, 'src/sub/b'), 'b');
  makeRootfs(join(directory, 'rootfs'), { commands: ['sh', 'mkdir', 'touch', 'ln'] });
  return directory;
}

async function twice(options: Partial<BuildOptions>) {
  rmSync(join(base, 'first'), { recursive: true, force: true });
  rmSync(join(base, 'second'), { recursive: true, force: true });
  const place = openBuildPlace(base, base);
  const results: string[] = [];
  for (const [name, time] of [
    ['first', new Date('2030-01-01T00:00:00Z')],
    ['second', new Date('2031-02-03T04:05:06Z')],
  ] as const) {
    const contextDirectory = checkout(name, time);
    const { result } = await place.build(FILE, { ...options, contextDirectory, useCache: false });
    results.push(result.imageId);
  }
  return results as [string, string];
}

onlyRoot('the same input on different days and paths gives the same image', async () => {
  for (const options of [
    { layers: true, sourceDateEpochSeconds: 1000, rewriteTimestamp: true },
    { layers: false, sourceDateEpochSeconds: 1000, rewriteTimestamp: true },
    { layers: true, timestampSeconds: 1000, format: 'docker' },
    { layers: false, timestampSeconds: 1000, squash: true },
  ] as const) {
    const [first, second] = await twice(options);
    equal(first, second, JSON.stringify(options));
  }
});

onlyRoot('the first difference of builds that differ has layer, file and field', async () => {
  const [first, second] = await twice({ layers: true });
  await openBuildPlace(base, base).withStore(async (store) => {
    const surroundings = {
      store,
      docker: { environment: {} },
      policy: { admit: async () => undefined },
      temporaryDirectory: base,
      workingDirectory: base,
      platform: platformOf(process.platform, process.arch),
      environment: {},
      now: () => new Date(),
    };
    for await (const difference of compareImages(surroundings, first, second)) {
      equal(difference.layer, 1);
      equal(difference.field, 'mtime');
      ok(difference.path?.startsWith('/'));
      ok(difference.createdBy?.includes('COPY'));
      return;
    }
    throw new Error('no difference was found');
  });
});

test.run();
