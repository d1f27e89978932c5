// A store with many images for the listings: one committed image, and copies of it with configs of their own.

import { digestOf } from '../image/digest.ts';
import { openStore } from '../store/storage/open.ts';
import type { Bench } from './bench.ts';

/** Global flags of a store that both sides read. */
export function manyStore(bench: Bench): string[] {
  return [
    '--root',
    bench.path('many-root'),
    '--runroot',
    bench.path('many-run'),
    '--storage-driver',
    'overlay',
  ];
}

/** Makes the store of {@link manyStore} with `count` images besides `localhost/one`. */
export async function makeManyImages(bench: Bench, count: number): Promise<void> {
  const container = bench.run('bin/buildah', [...manyStore(bench), 'from', 'scratch']).trim();
  bench.run('bin/buildah', [...manyStore(bench), 'copy', '--quiet', container, 'package.json', '/']);
  bench.run('bin/buildah', [...manyStore(bench), 'commit', '--quiet', '--rm', container, 'localhost/one']);
  const store = await openStore({
    graphRoot: bench.path('many-root'),
    runRoot: bench.path('many-run'),
    driver: 'overlay',
  });
  const [one] = await store.images.list();
  if (!one) throw new Error('nothing was committed');
  const read = async (key: string) =>
    JSON.parse(Buffer.from((await store.images.bigData(one.id, key)) ?? []).toString());
  const [manifest, config] = [await read('manifest'), await read(`sha256:${one.id}`)];
  for (let at = 0; at < count; at += 1) {
    const own = Buffer.from(JSON.stringify({ ...config, author: `bench ${at}` }));
    const digest = digestOf(own);
    const bytes = Buffer.from(
      JSON.stringify({ ...manifest, config: { ...manifest.config, digest, size: own.length } }),
    );
    await store.images.create({
      id: digest.slice('sha256:'.length),
      names: [`localhost/many/app${at % 50}:v${at}`],
      topLayer: one.topLayer,
      created: new Date(Date.parse(one.created) - at * 60_000).toISOString(),
      bigData: [
        { key: 'manifest', data: bytes },
        { key: `manifest-${digestOf(bytes)}`, data: bytes },
        { key: digest, data: own },
      ],
    });
  }
}
