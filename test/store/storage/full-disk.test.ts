import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { suite } from 'uvu';
import { isSystemError } from '../../../errors.ts';
import { StoreError } from '../../../store/error.ts';
import { openStore } from '../../../store/storage/open.ts';
import { tarOf } from '../../support/tar.ts';

const disk = mkdtempSync(join(tmpdir(), 'slipway-full-'));
const mounted =
  process.geteuid?.() === 0 &&
  spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', disk]).status === 0;
const test = suite('a full disk');
test.after(() => {
  if (mounted) spawnSync('umount', ['-l', disk]);
  rmSync(disk, { recursive: true, force: true });
});

function fill(): void {
  try {
    writeFileSync(join(disk, 'filler'), Buffer.alloc(4_000_000));
  } catch (error) {
    if (!isSystemError(error, 'ENOSPC')) throw error;
  }
}

const isFull = (error: unknown) => error instanceof StoreError && error.message.includes('ENOSPC');

for (const driver of ['vfs', 'overlay'] as const)
  test(`SECURITY 4: ${driver} says so, publishes nothing, and goes on once there is space`, async () => {
    await using store = await openStore({
      graphRoot: join(disk, driver),
      runRoot: join(disk, `${driver}-run`),
      driver,
    });
    const big = tarOf([{ name: 'big', body: Buffer.alloc(5_000_000, 1) }]);
    await assert.rejects(store.layers.createFromTar({}, Readable.from([big])), isFull);
    const layer = await store.layers.createFromTar(
      {},
      Readable.from([tarOf([{ name: 'small', body: 'x' }])]),
    );
    fill();
    const data = { key: 'manifest', data: Buffer.alloc(50_000, 1) };
    await assert.rejects(
      store.images.create({ topLayer: layer.id, bigData: [data] }),
      (error) => isFull(error) && (error as StoreError).hint !== undefined,
    );
    await assert.rejects(store.containers.create({}), isFull);
    rmSync(join(disk, 'filler'));
    assert.deepEqual(await store.images.list(), []);
    assert.deepEqual(await store.containers.list(), []);
    assert.deepEqual(
      (await store.layers.list()).map(({ id }) => id),
      [layer.id],
    );
    await store.images.create({ topLayer: layer.id, bigData: [data] });
  });

for (const driver of ['vfs', 'overlay'] as const)
  test(`${driver}: what is removed makes room for the records of its removal`, async () => {
    await using store = await openStore({
      graphRoot: join(disk, driver),
      runRoot: join(disk, `${driver}-run`),
      driver,
    });
    const one = tarOf([{ name: 'one', body: Buffer.alloc(300_000, 1) }]);
    const layer = await store.layers.createFromTar({}, Readable.from([one]));
    const image = await store.images.create({ topLayer: layer.id });
    const made = [await store.containers.create({}), await store.containers.create({})];
    for (const { layerId } of made)
      writeFileSync(join(await store.layers.mount(layerId), 'file'), Buffer.alloc(100_000, 1));
    for (const { id } of made) {
      fill();
      await store.deleteContainer(id);
    }
    fill();
    await store.deleteImage(image.id);
    rmSync(join(disk, 'filler'));
    assert.deepEqual(await store.containers.list(), []);
    assert.ok((await store.layers.list()).every(({ id }) => id !== layer.id));
    await store.sweep();
  });

test('a layer whose removal was cut short is never mounted with some of its files', async () => {
  await using store = await openStore({
    graphRoot: join(disk, 'cut'),
    runRoot: join(disk, 'cut-run'),
    driver: 'overlay',
  });
  const tar = tarOf([{ name: 'one', body: Buffer.alloc(300_000, 1) }]);
  const layer = await store.layers.createFromTar({}, Readable.from([tar]));
  const image = await store.images.create({ topLayer: layer.id });
  const diff = await store.layers.diffDirectory(layer.id);
  // As withRoom leaves it when it is killed between its first two steps.
  renameSync(diff, `${diff}.gone`);
  const container = await store.containers.create({ imageId: image.id }).catch(() => undefined);
  if (container) await assert.rejects(store.layers.mount(container.layerId));
  if (container) await store.deleteContainer(container.id);
  await store.deleteImage(image.id);
  assert.deepEqual(await store.layers.list(), []);
});

if (mounted) test.run();
else {
  console.log('SKIP a full disk: a small file system needs root');
  const skipped = suite('a full disk');
  skipped.skip('needs root', () => {});
  skipped.run();
}
