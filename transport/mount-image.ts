import type { Descriptor } from '../image/descriptor.ts';
import type { ImageManifest } from '../image/manifest.ts';
import { candidates, noteReuse, type Reuse } from './copy-layer.ts';
import type { CopySession } from './copy-session.ts';
import { type ImagePlan, staysSame } from './plan.ts';

/**
 * Brings the blobs of an image that goes as it is from one repository of a registry to another. The registry has them
 * all: each, the config too, is mounted or there already, and none is read. False where bytes have to move; blobs that
 * were mounted until then stay so.
 */
export async function mountBlobs(
  session: CopySession,
  manifest: ImageManifest,
  plan: ImagePlan,
): Promise<boolean> {
  if (!goesAsItIs(manifest, plan)) return false;
  const layers = new Map(plan.layers.map(({ source }) => [source.digest, source]));
  const mounts = [...layers.values()].map((layer) => mount(session, layer, false));
  const results = await Promise.allSettled([...mounts, mount(session, manifest.config, true)]);
  const found = results.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
  const config = found.pop();
  if (config === undefined || found.includes(undefined)) return false;
  for (const [at, layer] of [...layers.values()].entries()) noteReuse(session, layer, found[at] as Reuse);
  session.report({ type: 'started', what: 'config', descriptor: manifest.config });
  session.count(config.how);
  session.report({ type: 'done', what: 'config', descriptor: manifest.config });
  return true;
}

function goesAsItIs({ mediaType }: ImageManifest, { types, layers }: ImagePlan): boolean {
  return (
    types[0] === mediaType &&
    layers.every((layer) => layer.action === 'transfer' && layer.reuse && staysSame(layer))
  );
}

function mount(session: CopySession, blob: Descriptor, isConfig: boolean): Promise<Reuse | undefined> {
  const { destination, limit, options } = session;
  const signal = options.signal ? { signal: options.signal } : {};
  return limit.run(
    () =>
      destination.tryReuseBlob(blob, { isConfig, candidates: candidates(session, blob.digest), ...signal }),
    options.signal,
  );
}
