declare const SLIPWAY_BUNDLED: boolean | undefined;

/**
 * The URL of a worker's code: the source in a checkout, the bundle in `dist/workers` otherwise.
 * @param path from the project's root, ending in `.worker.ts`; scripts/bundle.ts bundles every such file
 */
export function workerUrl(path: `${string}.worker.ts`): URL {
  if (typeof SLIPWAY_BUNDLED === 'undefined') return new URL(`../../${path}`, import.meta.url);
  const name = path.slice(path.lastIndexOf('/') + 1).replace(/\.ts$/, '.cjs');
  return new URL(`../workers/${name}`, import.meta.url);
}
