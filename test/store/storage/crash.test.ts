import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type Test } from 'uvu';
import type { Store } from '../../../store/storage/contract.ts';
import { openStore } from '../../../store/storage/open.ts';

const directory = mkdtempSync(join(tmpdir(), 'slipway-crash-'));
const ROUNDS = 4;

function contract(test: Test, driver: 'overlay' | 'vfs') {
  test('SECURITY 4: killed at random moments, the store stays whole and gives its space back', async () => {
    const root = join(directory, driver);
    const open = () => openStore({ graphRoot: join(root, 'root'), runRoot: join(root, 'run'), driver });
    for (let round = 0; round < ROUNDS; round += 1) {
      await Promise.all([
        killAfter(root, driver, 20 + Math.random() * 250),
        killAfter(root, driver, Math.random() * 300),
      ]);
      await using store = await open();
      await checkWhole(store);
    }
    await using store = await open();
    for (const { id } of await store.containers.list()) await store.deleteContainer(id);
    for (const { id } of await store.images.list()) await store.deleteImage(id);
    await removeUnused(store);
    await store.sweep();
    assert.deepEqual(residue(store.graphRoot, driver), []);
  });
}

/** What every reader relies on: records agree with each other and with what is on disk. */
async function checkWhole(store: Store): Promise<void> {
  const layers = new Map((await store.layers.list()).map((layer) => [layer.id, layer]));
  for (const layer of layers.values()) {
    assert.equal(layer.flags?.incomplete, undefined);
    assert.ok(layer.parent === undefined || layers.has(layer.parent), `parent of ${layer.id}`);
    assert.ok(existsSync(await store.layers.diffDirectory(layer.id)), `directory of ${layer.id}`);
    if (layer.diffId === undefined) continue;
    const tarSplit = join(store.graphRoot, `${store.driver}-layers`, `${layer.id}.tar-split.gz`);
    assert.ok(readFileSync(tarSplit).length > 0);
  }
  for (const image of await store.images.list()) {
    assert.ok(layers.has(image.topLayer!), `top layer of ${image.id}`);
    for (const key of image.bigDataNames)
      assert.equal((await store.images.bigData(image.id, key))!.length, image.bigDataSizes[key]);
  }
  for (const container of await store.containers.list()) assert.ok(layers.has(container.layerId));
}

async function removeUnused(store: Store): Promise<void> {
  for (let left = await store.layers.list(); left.length > 0; left = await store.layers.list()) {
    const parents = new Set(left.map(({ parent }) => parent));
    for (const { id } of left) if (!parents.has(id)) await store.layers.delete(id);
  }
}

function killAfter(root: string, driver: string, milliseconds: number): Promise<void> {
  const child = spawn(process.execPath, ['test/store/storage/churn.ts', root, driver], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  child.stdout.once('data', () => setTimeout(() => child.kill('SIGKILL'), milliseconds));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) =>
      code === null ? resolve() : reject(new Error(`churn ended with ${code}`)),
    );
  });
}

function residue(graphRoot: string, driver: string): string[] {
  return readdirSync(graphRoot, { recursive: true, encoding: 'utf8' }).filter(
    (path) =>
      !/\.(lock|json)$/.test(path) &&
      ![driver, `${driver}/l`, `${driver}/dir`, `${driver}/tempdirs`, `${driver}-layers/tmp`].includes(
        path,
      ) &&
      !/^(overlay|vfs)-(layers|images|containers)$/.test(path),
  );
}

const vfs = suite('killed writers on vfs');
contract(vfs, 'vfs');
vfs.run();

const overlay = suite('killed writers on overlay');
overlay.after(() => rmSync(directory, { recursive: true, force: true }));
if (process.geteuid?.() === 0) contract(overlay, 'overlay');
else {
  console.log('SKIP killed writers on overlay: owners need root');
  overlay.skip('needs root', () => {});
}
overlay.run();
