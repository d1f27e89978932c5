import { Readable } from 'node:stream';
import { convertImage } from '../image/convert.ts';
import type { Digest } from '../image/digest.ts';
import { ImageError } from '../image/error.ts';
import type { ImageManifest, Schema1Manifest } from '../image/manifest.ts';
import { isSchema1MediaType, MEDIA_TYPE } from '../image/media-type.ts';
import {
  dockerToSchema1,
  EMPTY_LAYER,
  EMPTY_LAYER_DIGEST,
  type Schema1Document,
  schema1Layers,
  schema1ToDocker,
} from '../image/schema1.ts';
import { signSchema1 } from '../image/schema1-signature.ts';
import { serializeManifest } from '../image/serialize.ts';
import type { BuildInput, BuiltImage } from './build-manifest.ts';
import { TransportError } from './error.ts';

/** {@link buildImage} where the source or the result is of schema 1. */
export async function buildWithSchema1(
  input: BuildInput,
  manifest: ImageManifest | Schema1Manifest,
): Promise<BuiltImage> {
  if (manifest.kind === 'image') return toSchema1(input, manifest);
  return isSchema1MediaType(input.type) ? keepSchema1(input, manifest) : fromSchema1(input, manifest);
}

function fromSchema1(input: BuildInput, manifest: Schema1Manifest): BuiltImage {
  refuseFrozen(input);
  const docker = schema1ToDocker(
    manifest,
    input.copied.map(({ descriptor, diffId }) => ({ ...descriptor, diffId: diffId as Digest })),
  );
  const converted =
    input.type === MEDIA_TYPE.ociManifest ? convertImage(docker.manifest, docker.config, 'oci') : docker;
  return {
    manifest: { bytes: serializeManifest(converted.manifest), mediaType: converted.manifest.mediaType },
    config: { bytes: converted.config ?? docker.config, descriptor: converted.manifest.config },
  };
}

/** Schema 1 names the image, so a copy to another name is another document. */
function keepSchema1(input: BuildInput, manifest: Schema1Manifest): BuiltImage {
  const { named } = input.destination.reference;
  const renamed =
    input.destination.embedsName &&
    named &&
    (named.path !== manifest.name || (named.tag ?? '') !== manifest.tag);
  const layers = schema1Layers(manifest);
  const edited = input.copied.some(({ descriptor }, index) => descriptor.digest !== layers[index]?.digest);
  if (!renamed && !edited)
    return { manifest: { bytes: input.document.bytes, mediaType: manifest.mediaType } };
  refuseFrozen(input);
  return signed({
    name: renamed ? named.path : manifest.name,
    tag: renamed ? (named.tag ?? '') : manifest.tag,
    architecture: manifest.architecture,
    fsLayers: edited
      ? input.copied.map(({ descriptor }) => ({ blobSum: descriptor.digest })).reverse()
      : manifest.fsLayers,
    history: edited ? layers.map(({ v1Compatibility }) => ({ v1Compatibility })).reverse() : manifest.history,
  });
}

async function toSchema1(input: BuildInput, manifest: ImageManifest): Promise<BuiltImage> {
  refuseFrozen(input);
  const config = input.config as Uint8Array;
  const edited = { ...manifest, layers: input.copied.map(({ descriptor }) => descriptor) };
  const docker = convertImage(edited, config, 'docker');
  const zstd = docker.manifest.layers.find(({ mediaType }) => mediaType.endsWith('zstd'));
  if (zstd)
    throw new ImageError('unsupported-conversion', `layer ${zstd.digest}: schema 1 does not know zstd`);
  const { named } = input.destination.reference;
  const { document, needsEmptyLayer } = dockerToSchema1(docker.manifest, config, {
    path: named?.path ?? '',
    tag: named?.tag ?? '',
  });
  if (needsEmptyLayer)
    await input.destination.putBlob(
      { stream: Readable.from([EMPTY_LAYER]), sizeBytes: EMPTY_LAYER.length },
      { mediaType: MEDIA_TYPE.dockerLayerGzip, digest: EMPTY_LAYER_DIGEST, size: EMPTY_LAYER.length },
      { isConfig: false, emptyLayer: true },
    );
  return signed(document);
}

function signed(document: Schema1Document): BuiltImage {
  const time = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
  return { manifest: { bytes: signSchema1(document, time), mediaType: MEDIA_TYPE.dockerSchema1Signed } };
}

function refuseFrozen({ frozen }: BuildInput): void {
  if (frozen !== undefined)
    throw new TransportError(
      'unsupported',
      `the manifest would have to change, which cannot be done: ${frozen}`,
    );
}
