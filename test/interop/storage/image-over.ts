import { digestOf } from '../../../image/digest.ts';
import type { Store } from '../../../store/storage/contract.ts';

/** An OCI image whose layers are those of a chain in the store, as the storage transport would record it. */
export async function imageOver(store: Store, topLayer: string, name: string): Promise<string> {
  const chain = [];
  for (let id: string | undefined = topLayer; id !== undefined; ) {
    const layer = await store.layers.get(id);
    chain.unshift(layer!);
    id = layer!.parent;
  }
  const config = Buffer.from(
    JSON.stringify({
      created: '2024-01-01T00:00:00Z',
      architecture: 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: chain.map(({ diffId }) => diffId) },
      history: chain.map(() => ({ created_by: 'test' })),
    }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: {
        mediaType: 'application/vnd.oci.image.config.v1+json',
        digest: digestOf(config),
        size: config.length,
      },
      layers: chain.map(({ diffId, diffSize }) => ({
        mediaType: 'application/vnd.oci.image.layer.v1.tar',
        digest: diffId,
        size: diffSize,
      })),
    }),
  );
  const image = await store.images.create({
    id: digestOf(config).slice(7),
    topLayer,
    names: [name],
    metadata: '{}',
    bigData: [
      { key: digestOf(config), data: config },
      { key: `manifest-${digestOf(manifest)}`, data: manifest },
      { key: 'manifest', data: manifest },
    ],
  });
  return image.id;
}
