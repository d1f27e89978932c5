import { setTimeout as sleep } from 'node:timers/promises';
import { SlipwayError } from '../../errors.ts';
import type { NamedReference } from '../../image/reference.ts';
import type { ImageReference, TransportContext } from '../../transport/contract.ts';
import type { CopyOptions, CopyResult } from '../../transport/copy-options.ts';
import { parseImageReference } from '../../transport/references.ts';
import type { BuildSurroundings } from '../container/contract.ts';
import { contextOf } from '../container/pull.ts';
import { allowedSurroundings } from '../container/registry-sources.ts';

/** Options of {@link copyStored}, beyond those of a copy. */
export interface CopyStoredOptions extends Omit<CopyOptions, 'source' | 'destination'> {
  /** Tries after the first; default 3. */
  readonly retries?: number;
  /** Default 2000. */
  readonly retryDelayMs?: number;
  /** Compress layers where the destination leaves it open (`dir:`), or leave them plain where it would compress (`oci:`). */
  readonly layers?: 'compress' | 'plain';
  /** Names that an archive of Docker's gets beside its own. */
  readonly additionalTags?: readonly NamedReference[];
  /** Directory whose blobs need not be made anew; a commit also leaves its own there. */
  readonly blobDirectory?: string;
  /** For messages; default `push to`. */
  readonly doing?: 'commit to' | 'push to';
}

/** Copies an image of local storage to another place: push, and commit outside of storage. */
export async function copyStored(
  given: BuildSurroundings,
  imageId: string,
  destination: ImageReference,
  options: CopyStoredOptions = {},
): Promise<CopyResult> {
  const surroundings = allowedSurroundings(given, options.doing ?? 'push to', destination);
  await surroundings.policy.prepare?.();
  const { copyImage } = await import('../../transport/copy.ts');
  const stored = await parseImageReference(`containers-storage:@${imageId}`, surroundings);
  const { source, target } = await withBlobs(stored, destination, options);
  const context = contextOf(surroundings);
  const {
    retries = 3,
    retryDelayMs = 2000,
    layers,
    blobDirectory: _blobs,
    doing: _doing,
    additionalTags,
    ...copyOptions
  } = options;
  const destinationContext = { ...withLayers(context, layers), additionalTags };
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await copyImage(ACCEPT_ALL, source, target, {
        onProgress: surroundings.onProgress,
        signal: surroundings.signal,
        ...copyOptions,
        source: context,
        destination: destinationContext,
      });
    } catch (error) {
      const again = error instanceof SlipwayError && error.retryable && attempt < retries;
      if (!again || surroundings.signal?.aborted) throw error;
      await sleep(retryDelayMs, undefined, { signal: surroundings.signal });
    }
  }
}

async function withBlobs(
  source: ImageReference,
  target: ImageReference,
  { blobDirectory, layers, compression, doing }: CopyStoredOptions,
) {
  if (!blobDirectory) return { source, target };
  const { byWayOfBlobDirectory } = await import('../../transport/blob-directory/reference.ts');
  const form = compression && compression.format !== 'gzip' ? 'zstd' : 'gzip';
  return {
    source: byWayOfBlobDirectory(source, blobDirectory, layers === 'plain' ? undefined : form),
    target: doing === 'commit to' ? byWayOfBlobDirectory(target, blobDirectory) : target,
  };
}

/** What is in local storage was admitted when it came. */
export const ACCEPT_ALL = { admit: async () => undefined };

/** The context with what is wanted of plain layers. */
export function withLayers(context: TransportContext, layers: CopyStoredOptions['layers']): TransportContext {
  if (layers === 'compress') return { ...context, directoryLayerCompression: 'compress' };
  return layers === 'plain' ? { ...context, ociAcceptUncompressedLayers: true } : context;
}
