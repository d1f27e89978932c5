import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import type { Descriptor } from '../../../image/descriptor.ts';
import { parseDigest } from '../../../image/digest.ts';
import { verified } from '../../../store/blob/verify.ts';
import type { ImageDestination, ImageSource } from '../../../transport/contract.ts';
import type { OpenedImage } from '../../../transport/inspect.ts';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';
import { registryFlags } from '../../cli/registry-access.ts';
import { imageFlags, transportContext } from '../../cli/transport-context.ts';
import { commandSignal, RETRY_FLAGS, retryOptions } from './surroundings.ts';

/** `skopeo layers`, which is old: the blobs of an image in a new directory of their own. */
export const layers: CommandSpec = {
  name: 'layers',
  summary: 'Save the layers of an image into a new directory; use copy instead',
  usage: '[command options] IMAGE-NAME [LAYER...]',
  hidden: true,
  flags: [...registryFlags(), ...imageFlags(), ...RETRY_FLAGS],
  async run(context) {
    context.note('DEPRECATED: skopeo layers is deprecated in favor of skopeo copy');
    const [name, ...wanted] = context.args;
    if (name === undefined) throw new UsageError('usage', 'Usage: layers imageReference [layer...]');
    const signal = commandSignal(context);
    const { withRetries } = await import('../../../transport/retry.ts');
    await withRetries('layers', () => save(context, name, wanted, signal), retryOptions(context, signal));
  },
};

async function save(
  context: CommandContext,
  name: string,
  wanted: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const { workingDirectory } = context.io;
  const { parseImageReference } = await import('../../../transport/references.ts');
  const { openImage } = await import('../../../transport/inspect.ts');
  const images = transportContext(context, { signal });
  await using source = await (await parseImageReference(name, { workingDirectory })).openSource(images);
  const image = await openImage(source, images);
  const blobs = wanted.length ? wanted.map((text) => named(image, text)) : allBlobs(image);
  const directory = await mkdtemp(join(workingDirectory, 'layers-'));
  const target = await parseImageReference(`dir:${directory}`, { workingDirectory });
  await using destination = await target.openDestination(images);
  for (const blob of blobs) await copyBlob(source, destination, blob, signal);
  await destination.putManifest(image.document.bytes, image.document.mediaType);
  await destination.commit({ signal });
}

/** A blob by its digest, with or without the algorithm. */
function named(image: OpenedImage, text: string): Descriptor {
  const digest = parseDigest(text.startsWith('sha256:') ? text : `sha256:${text}`);
  return allBlobs(image).find((blob) => blob.digest === digest) ?? { mediaType: '', digest, size: -1 };
}

function allBlobs({ manifest }: OpenedImage): readonly Descriptor[] {
  if (manifest.kind === 'schema1')
    return manifest.fsLayers.map(({ blobSum }) => ({ mediaType: '', digest: blobSum, size: -1 }));
  return [...new Map([...manifest.layers, manifest.config].map((blob) => [blob.digest, blob])).values()];
}

async function copyBlob(
  source: ImageSource,
  destination: ImageDestination,
  descriptor: Descriptor,
  signal: AbortSignal,
): Promise<void> {
  const { digest } = descriptor;
  const { stream, sizeBytes } = await source.getBlob(descriptor, { signal });
  const checked = verified(stream, { digest, ...(sizeBytes === undefined ? {} : { sizeBytes }) });
  await destination.putBlob(
    { stream: checked },
    { mediaType: descriptor.mediaType, digest },
    { isConfig: false, signal },
  );
}
