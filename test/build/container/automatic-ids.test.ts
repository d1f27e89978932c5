import { deepEqual, equal, rejects } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { type AutomaticIds, chooseIds } from '../../../build/container/automatic-ids.ts';
import type { BuildSurroundings } from '../../../build/container/contract.ts';
import { createContainer } from '../../../build/container/create.ts';
import { platformOf } from '../../../image/platform.ts';
import type { IdRange } from '../../../store/layer/contract.ts';
import type { ImageRecord, Store } from '../../../store/storage/contract.ts';
import { openBuildPlace } from '../../support/build-place.ts';

const test = suite('automatic ids');
const rootfs = mkdtempSync(join(tmpdir(), 'automatic-ids-'));
mkdirSync(join(rootfs, 'etc'));
test.after(() => rmSync(rootfs, { recursive: true, force: true }));
const isRoot = process.geteuid?.() === 0;
if (!isRoot) console.log('SKIP automatic ids: giving files to mapped ids needs root');
const onlyRoot = isRoot ? test : test.skip;

const range = (containerId: number, hostId: number, size: number): IdRange => ({ containerId, hostId, size });
const lent = { uids: [range(0, 100_000, 70_000)], gids: [range(0, 200_000, 70_000)] };
const request = (more: Partial<AutomaticIds> = {}): AutomaticIds => ({ uids: [], gids: [], lent, ...more });
const image = { topLayer: 'top' } as ImageRecord;

/** A storage with these mapped containers and one image of two layers, which counts its mounts. */
function storeOf(used: readonly IdRange[] = [], owners: readonly number[] = []) {
  const mounts = { count: 0 };
  const layers: Record<string, object> = {
    top: { parent: 'base', uids: [], gids: owners },
    base: { uids: owners },
  };
  const store = {
    containers: { list: async () => used.map((one) => ({ idMappings: { uids: [one], gids: [] } })) },
    layers: {
      get: async (id: string) => layers[id],
      mount: async () => {
        mounts.count += 1;
        return rootfs;
      },
      unmount: async () => {
        mounts.count -= 1;
        return true;
      },
    },
  } as unknown as Store;
  return { store, mounts };
}

test('as many as asked for, behind what others have and around what is given', async () => {
  const { store } = storeOf([range(0, 100_000, 500)]);
  deepEqual(await chooseIds(store, request({ size: 10 }), undefined), {
    uids: [range(0, 100_500, 10)],
    gids: [range(0, 200_000, 10)],
  });
  const given = await chooseIds(store, request({ size: 10, uids: [range(3, 0, 1)] }), undefined);
  deepEqual(given.uids, [range(0, 100_500, 3), range(3, 0, 1), range(4, 100_503, 6)]);
});

test('as many as the image has use for, 1024 at least', async () => {
  const size = async (owners: readonly number[], passwd: string, group: string) => {
    writeFileSync(join(rootfs, 'etc/passwd'), passwd);
    writeFileSync(join(rootfs, 'etc/group'), group);
    const { store, mounts } = storeOf([], owners);
    const { uids } = await chooseIds(store, request(), image);
    equal(mounts.count, 0);
    return uids[0]?.size;
  };
  const nobody = 'nobody:x:65534:65534::/:/bin/false\n';
  equal(await size([], nobody, 'nogroup:x:65533:\n'), 1024);
  equal(await size([5000], nobody, ''), 5001);
  equal(await size([], 'app:x:3000:10::/:/bin/sh\n', ''), 3001);
  equal(await size([], '', 'app:x:4000:\n'), 4001);
  const { store } = storeOf([], [70_000]);
  await rejects(chooseIds(store, request(), image), { code: 'bad-option' });
  equal((await chooseIds(storeOf([], [70_000]).store, request(), undefined)).uids[0]?.size, 1024);
});

test('too few free ids are an error', async () => {
  const { store } = storeOf([range(0, 100_000, 69_000)]);
  await rejects(chooseIds(store, request({ size: 1001 }), undefined), /could not find 1001 free/);
});

onlyRoot('containers that are made at once have ids of their own', async () => {
  const place = openBuildPlace(mkdtempSync(join(rootfs, 'store-')), rootfs);
  await place.withStore(async (store) => {
    const surroundings = {
      store,
      platform: platformOf(process.platform, process.arch),
      now: () => new Date(),
    } as unknown as BuildSurroundings;
    const automaticIds = request({ size: 10, lent: { uids: [range(0, 0, 100)], gids: [range(0, 0, 100)] } });
    const made = await Promise.all(
      Array.from({ length: 5 }, () => createContainer(surroundings, { from: 'scratch', automaticIds })),
    );
    const starts = made.map(({ idMappings }) => idMappings?.uids[0]?.hostId as number);
    deepEqual(
      starts.sort((one, other) => one - other),
      [0, 10, 20, 30, 40],
    );
    for (const { id } of made) await store.deleteContainer(id);
  });
});

test.run();
