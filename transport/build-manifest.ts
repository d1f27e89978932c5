import { convertImage } from '../image/convert.ts';
import type { Descriptor } from '../image/descriptor.ts';
import { digestOf } from '../image/digest.ts';
import { ImageError } from '../image/error.ts';
import type { ImageManifest, ManifestDocument, Schema1Manifest } from '../image/manifest.ts';
import { isSchema1MediaType, MEDIA_TYPE } from '../image/media-type.ts';
import { serializeManifest } from '../image/serialize.ts';
import type { ImageDestination } from './contract.ts';
import type { CopiedLayer } from './copy-layer.ts';
import { TransportError } from './error.ts';

/** What {@link buildImage} makes a manifest from. */
export interface BuildInput {
  readonly document: ManifestDocument;
  readonly manifest: ImageManifest | Schema1Manifest;
  /** Undefined for schema 1. */
  readonly config: Uint8Array | undefined;
  readonly copied: readonly CopiedLayer[];
  readonly type: string;
  readonly destination: ImageDestination;
  readonly frozen: string | undefined;
  /** The layers as the source gave them, where that shall not change the manifest. */
  readonly given?: readonly Descriptor[];
}

export interface BuiltImage {
  readonly manifest: ManifestDocument;
  /** Undefined for schema 1, which has none. */
  readonly config?: { readonly bytes: Uint8Array; readonly descriptor: Descriptor };
}

/**
 * The manifest to write, with its config: the received bytes where nothing changed, else a new one in the format
 * `type` with the layers as they came to be.
 * @throws ImageError `unsupported-conversion`, TransportError `unsupported` where a frozen manifest would change
 */
export async function buildImage(input: BuildInput): Promise<BuiltImage> {
  const { manifest, document, type } = input;
  if (manifest.kind === 'schema1' || isSchema1MediaType(type)) {
    const { buildWithSchema1 } = await import('./build-schema1.ts');
    return buildWithSchema1(input, manifest);
  }
  const config = input.config as Uint8Array;
  const layers = writtenLayers(input, manifest);
  const edited = layersDiffer(manifest.layers, layers);
  if (!edited && type === manifest.mediaType)
    return {
      manifest: { bytes: document.bytes, mediaType: manifest.mediaType },
      config: { bytes: config, descriptor: manifest.config },
    };
  if (input.frozen !== undefined)
    throw new TransportError(
      'unsupported',
      `the manifest would have to change, which cannot be done: ${input.frozen}`,
    );
  const converted = convertImage(
    edited ? { ...manifest, layers } : manifest,
    config,
    type === MEDIA_TYPE.ociManifest ? 'oci' : 'docker',
  );
  checkNameable(converted.manifest);
  return {
    manifest: { bytes: serializeManifest(converted.manifest), mediaType: converted.manifest.mediaType },
    config: {
      bytes: converted.config ?? config,
      descriptor: describeConfig(converted.manifest.config, converted.config),
    },
  };
}

/**
 * Archives label plain layers as compressed ones in the manifest that is made of them. As long as it stays that manifest
 * it is left alone, so that an image has one digest wherever it goes.
 */
function writtenLayers({ copied, given, type }: BuildInput, manifest: ImageManifest): readonly Descriptor[] {
  return copied.map(({ descriptor }, index) => {
    const original = manifest.layers[index];
    const asGiven = given?.[index]?.mediaType === descriptor.mediaType && type === manifest.mediaType;
    return asGiven && original?.digest === descriptor.digest ? original : descriptor;
  });
}

function describeConfig(descriptor: Descriptor, bytes: Uint8Array | undefined): Descriptor {
  return bytes === undefined ? descriptor : { ...descriptor, digest: digestOf(bytes), size: bytes.length };
}

/** Media type and content; annotations follow the digest. */
function layersDiffer(a: readonly Descriptor[], b: readonly Descriptor[]): boolean {
  return (
    a.length !== b.length ||
    a.some((layer, index) => layer.digest !== b[index]?.digest || layer.mediaType !== b[index]?.mediaType)
  );
}

function checkNameable(manifest: ImageManifest): void {
  const zstd = manifest.format === 'docker' && manifest.layers.find((layer) => /zstd/.test(layer.mediaType));
  if (zstd)
    throw new ImageError(
      'unsupported-conversion',
      `layer ${zstd.digest}: zstd compression is not supported for docker images`,
    );
}
