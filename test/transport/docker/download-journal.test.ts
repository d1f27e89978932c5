import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import { digestOf } from '../../../image/digest.ts';
import { DownloadJournal } from '../../../transport/docker/download-journal.ts';
import { parse } from '../../../transport/docker/reference.ts';
import { dockerContext } from '../../support/docker-context.ts';
import { seedImage, startTestRegistry } from '../../support/registry.ts';

const LAYER = randomBytes(12_000_000);
const BLOB = { mediaType: 'x', digest: digestOf(LAYER), size: LAYER.length };
const NAME = BLOB.digest.replace(':', '-');

async function setUp() {
  const journalDirectory = await mkdtemp(join(tmpdir(), 'slipway-downloads-'));
  const registry = await startTestRegistry();
  await seedImage(registry, 'a', 't', [LAYER]);
  registry.faults.clear();
  const directory = join(journalDirectory, 'downloads');
  return {
    registry,
    directory,
    journalDirectory,
    files: () => readdir(directory).catch(() => []),
    ranges: () =>
      registry.faults.log.filter(({ url }) => url.includes(BLOB.digest)).map(({ headers }) => headers.range),
    pull: async () => {
      const reference = parse(`//${registry.address}/a:t`);
      await using source = await reference.openSource(dockerContext({ journalDirectory, requestRetries: 0 }));
      const chunks: Buffer[] = [];
      for await (const chunk of (await source.getBlob(BLOB)).stream) chunks.push(chunk as Buffer);
      return digestOf(Buffer.concat(chunks));
    },
    [Symbol.asyncDispose]: async () => {
      await registry.close();
      await rm(journalDirectory, { recursive: true });
    },
  };
}

test('a whole download leaves nothing behind', async () => {
  await using place = await setUp();
  assert.equal(await place.pull(), BLOB.digest);
  assert.deepEqual(await place.files(), []);
});

/** Pulls in a process of its own and kills it when some bytes are on disk. */
async function killDuringPull(place: Awaited<ReturnType<typeof setUp>>): Promise<void> {
  place.registry.faults.add({ method: 'GET', url: BLOB.digest, stallAt: 7_000_000, times: 1 });
  const code = `
    const { parse } = await import('./transport/docker/reference.ts');
    const docker = { environment: { HOME: '/nonexistent' }, tlsVerify: false, journalDirectory: ${JSON.stringify(place.journalDirectory)} };
    const context = { platform: { os: 'linux', architecture: 'amd64' }, temporaryDirectory: '/tmp', docker };
    const source = await parse('//${place.registry.address}/a:t').openSource(context);
    for await (const _ of (await source.getBlob(${JSON.stringify(BLOB)})).stream);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: 'inherit' });
  const closed = new Promise((resolve) => child.once('close', resolve));
  for (let size = 0; size < 5_000_000; ) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    const [name] = await place.files();
    size = name ? (await stat(join(place.directory, name))).size : 0;
  }
  child.kill('SIGKILL');
  await closed;
}

test('SIGKILL, then again: only the missing bytes move', async () => {
  await using place = await setUp();
  await killDuringPull(place);
  place.registry.faults.log.length = 0;
  assert.equal(await place.pull(), BLOB.digest);
  const [range, ...others] = place.ranges();
  assert.deepEqual(others, []);
  const start = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1]);
  assert.ok(start >= 5_000_000 && start <= 7_000_000, range);
  assert.deepEqual(await place.files(), []);
});

test('a kept part that is damaged is removed, and the next try succeeds', async () => {
  await using place = await setUp();
  await killDuringPull(place);
  const [name] = await place.files();
  const { size } = await stat(join(place.directory, name!));
  await writeFile(join(place.directory, name!), randomBytes(size));
  await assert.rejects(place.pull(), { code: 'digest-mismatch', retryable: true });
  assert.equal(await place.pull(), BLOB.digest);
});

test('a registry without ranges starts over', async () => {
  await using place = await setUp();
  await killDuringPull(place);
  place.registry.faults.clear();
  place.registry.faults.add({
    method: 'GET',
    url: BLOB.digest,
    when: ({ headers }) => 'range' in headers,
    status: 200,
    body: LAYER,
  });
  assert.equal(await place.pull(), BLOB.digest);
});

test('a part of a live process is left alone, too long ones are dropped, the cap removes the oldest', async () => {
  await using place = await setUp();
  await killDuringPull(place);
  const [name] = await place.files();
  await truncate(join(place.directory, name!), LAYER.length + 5);
  assert.equal(await place.pull(), BLOB.digest);
  await writeFile(join(place.directory, `${NAME}.1`), LAYER.subarray(0, 100));
  assert.equal(await place.pull(), BLOB.digest);
  assert.deepEqual(await place.files(), [`${NAME}.1`]);
  await writeFile(join(place.directory, `sha256-${'0'.repeat(64)}.4194305`), LAYER);
  const journal = new DownloadJournal(place.journalDirectory, { capBytes: LAYER.length + 1000 });
  const { stream } = await journal.stream(BLOB, async () => {
    const { Readable } = await import('node:stream');
    return { stream: Readable.from([LAYER]) };
  });
  for await (const _ of stream);
  await journal.close({ aborted: false });
  assert.deepEqual(await place.files(), [`${NAME}.1`]);
});

test('a journal that cannot be written does not keep the download from ending', async () => {
  await using place = await setUp();
  await writeFile(place.directory, 'a file in the way');
  assert.equal(await place.pull(), BLOB.digest);
  await rm(place.directory);
});

test.run();
