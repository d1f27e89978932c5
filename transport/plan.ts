import type { Descriptor } from '../image/descriptor.ts';
import type { Digest } from '../image/digest.ts';
import {
  type Compression,
  compressionOf,
  isLayerMediaType,
  isSchema1MediaType,
  MEDIA_TYPE,
} from '../image/media-type.ts';
import type { CompressionChoice } from './compress.ts';
import type { ImageDestination } from './contract.ts';
import { TransportError } from './error.ts';

/** What `--format` asks for: oci, v2s2, v2s1. */
export type ManifestRequest = 'oci' | 'docker' | 'schema1';

export const REQUESTED_TYPE: Record<ManifestRequest, string> = {
  oci: MEDIA_TYPE.ociManifest,
  docker: MEDIA_TYPE.dockerManifest,
  schema1: MEDIA_TYPE.dockerSchema1Signed,
};

/** Everything that decides how one image is copied. */
export interface PlanInput {
  /** Of the source manifest. */
  readonly mediaType: string;
  /** Layers as the source gives them, base first. */
  readonly layers: readonly Descriptor[];
  /** Plain digests by position where the config tells them. */
  readonly diffIds?: readonly Digest[];
  readonly destination: Pick<ImageDestination, 'manifestTypes' | 'layerCompression' | 'acceptsForeignLayers'>;
  /** Why the manifest must stay as it is; undefined: it may change. */
  readonly frozen?: string;
  readonly signing?: boolean;
  readonly format?: ManifestRequest;
  readonly compression?: CompressionChoice;
  /** Of gzip, where no compression is chosen. */
  readonly compressionLevel?: number;
  readonly forceCompression?: boolean;
  /** Positions, negative from the top; empty: all. Undefined: none. */
  readonly encryptLayers?: readonly number[];
  readonly decrypt?: boolean;
  readonly downloadForeignLayers?: boolean;
}

/** What happens to one layer, as far as it is known before its first byte. */
export interface LayerPlan {
  readonly source: Descriptor;
  readonly index: number;
  readonly diffId?: Digest;
  /** `keep-url`: a foreign layer that stays where its urls say. */
  readonly action: 'transfer' | 'keep-url';
  /** The destination may be asked for it first. */
  readonly reuse: boolean;
  /** Applied to what the bytes turn out to be. */
  readonly wish: 'keep' | 'compress' | 'decompress';
  /** What `compress` makes; compressed layers are made anew only where `recompress` is set. */
  readonly compression: CompressionChoice;
  readonly recompress: boolean;
  readonly decrypt: boolean;
  readonly encrypt: boolean;
  /** The plain digest must be found out (conversion from schema 1). */
  readonly needsDiffId: boolean;
}

export interface ImagePlan {
  /** Manifest types to try, the first first. */
  readonly types: readonly string[];
  readonly frozen?: string;
  /** Equal content under another digest may stand in. */
  readonly substitute: boolean;
  readonly layers: readonly LayerPlan[];
}

/** True where the bytes go over as they are. */
export function staysSame({ source, wish, recompress, decrypt, encrypt, needsDiffId }: LayerPlan): boolean {
  const compression = compressionOf(source.mediaType);
  const compressed = compression === 'gzip' || compression === 'zstd';
  return (
    !decrypt &&
    !encrypt &&
    !needsDiffId &&
    (wish === 'keep' || (wish === 'compress' && !recompress && compressed))
  );
}

/**
 * Decides how an image is copied; pure (containers/image, copy/manifest.go and copy/single.go).
 * @throws TransportError `bad-option` where wishes contradict each other or the frozen manifest, `unsupported` where
 * the destination cannot hold what is asked for
 */
export function planImage(input: PlanInput): ImagePlan {
  const types = manifestTypes(input);
  const encrypted = positionsToEncrypt(input);
  refuseIgnoredWishes(input);
  const needsDiffId = isSchema1MediaType(input.mediaType) && !isSchema1MediaType(types[0] as string);
  return {
    types,
    ...(input.frozen === undefined ? {} : { frozen: input.frozen }),
    substitute: input.frozen === undefined && !input.signing,
    layers: input.layers.map((source, index) =>
      planLayer(input, source, index, encrypted.has(index), needsDiffId),
    ),
  };
}

function planLayer(
  input: PlanInput,
  source: Descriptor,
  index: number,
  encrypt: boolean,
  needsDiffId: boolean,
): LayerPlan {
  const { destination, compression, frozen } = input;
  const isEncrypted = source.mediaType.endsWith('+encrypted');
  const decrypt = isEncrypted && input.decrypt === true;
  if ((decrypt || encrypt) && frozen !== undefined)
    throw new TransportError(
      'bad-option',
      `layer ${source.digest} should be ${decrypt ? 'decrypted' : 'encrypted'}, but we can't modify the manifest: ${frozen}`,
    );
  const changeable = frozen === undefined && (source.mediaType === '' || isLayerMediaType(source.mediaType));
  const wish =
    !changeable || (isEncrypted && !decrypt)
      ? 'keep'
      : destination.layerCompression === 'preserve'
        ? 'keep'
        : destination.layerCompression;
  const choice = forEncryption(compression ?? gzipAt(input.compressionLevel), encrypt);
  const diffId = input.diffIds?.[index];
  const wrongFormat =
    input.forceCompression === true &&
    wish === 'compress' &&
    (compressionName(source) !== baseOf(choice.format) || lacksChunks(source, choice));
  return {
    source,
    index,
    ...(diffId === undefined ? {} : { diffId }),
    action:
      destination.acceptsForeignLayers && source.urls?.length && !input.downloadForeignLayers
        ? 'keep-url'
        : 'transfer',
    reuse: !encrypt && !decrypt && !wrongFormat && !(needsDiffId && diffId === undefined),
    wish,
    compression: choice,
    recompress: compression !== undefined && wish === 'compress',
    decrypt,
    encrypt: encrypt && !isEncrypted,
    needsDiffId,
  };
}

/** zstd:chunked shows a layer's identity in the clear and cannot be used in parts when encrypted: plain zstd instead. */
function forEncryption(choice: CompressionChoice, encrypt: boolean): CompressionChoice {
  return encrypt && choice.format === 'zstd:chunked' ? { ...choice, format: 'zstd' } : choice;
}

function gzipAt(level: number | undefined): CompressionChoice {
  return level === undefined ? { format: 'gzip' } : { format: 'gzip', level };
}

function compressionName(layer: Descriptor): Compression | undefined {
  return layer.mediaType === '' ? 'gzip' : compressionOf(layer.mediaType);
}

/** True for a layer without the table of contents that is asked for: plain zstd is not zstd:chunked. */
export function lacksChunks({ annotations }: Descriptor, { format }: CompressionChoice): boolean {
  return (
    format === 'zstd:chunked' &&
    annotations?.['io.github.containers.zstd-chunked.manifest-checksum'] === undefined
  );
}

function baseOf(format: CompressionChoice['format']): Compression {
  return format === 'zstd:chunked' ? 'zstd' : format;
}

const ANY = [
  MEDIA_TYPE.ociManifest,
  MEDIA_TYPE.dockerManifest,
  MEDIA_TYPE.dockerSchema1Signed,
  MEDIA_TYPE.dockerSchema1,
] as readonly string[];
/** Schema 2 before schema 1: it need not change with its place. */
const PREFERRED = [MEDIA_TYPE.dockerManifest, MEDIA_TYPE.dockerSchema1Signed] as readonly string[];

function manifestTypes(input: PlanInput): string[] {
  const { mediaType, format, destination, frozen } = input;
  const taken = destination.manifestTypes.length ? destination.manifestTypes : ANY;
  const offered = format === undefined ? taken : [REQUESTED_TYPE[format]];
  const encrypting = input.encryptLayers !== undefined;
  const keepsEncrypted =
    !input.decrypt && input.layers.some((layer) => layer.mediaType.endsWith('+encrypted'));
  const needsOci =
    encrypting ||
    keepsEncrypted ||
    (input.compression !== undefined &&
      input.compression.format !== 'gzip' &&
      destination.layerCompression === 'compress');
  const usable = offered.filter(
    (type) => (!needsOci || type === MEDIA_TYPE.ociManifest) && ANY.includes(type),
  );
  if (usable.length === 0) throw noType(input, offered, encrypting || keepsEncrypted);
  if (frozen !== undefined) return [mediaType];
  const first = usable.includes(mediaType) ? [mediaType] : [];
  return [...new Set([...first, ...PREFERRED.filter((type) => usable.includes(type)), ...usable])];
}

function noType(input: PlanInput, offered: readonly string[], encryption: boolean): TransportError {
  const what = encryption ? 'encryption' : `compression using ${input.compression?.format}`;
  return input.format !== undefined
    ? new TransportError(
        'bad-option',
        `${what} required together with format ${REQUESTED_TYPE[input.format]}, which does not support it`,
      )
    : new TransportError(
        'unsupported',
        `${what} required but the destination only supports MIME types [${offered.join(', ')}], none of which support ${encryption ? 'encryption' : 'it'}`,
      );
}

/** A wish that a frozen manifest cannot follow is an error, never silently dropped. */
function refuseIgnoredWishes({
  frozen,
  format,
  mediaType,
  compression,
  destination,
  layers,
}: PlanInput): void {
  if (frozen === undefined) return;
  const requested = format === undefined ? undefined : REQUESTED_TYPE[format];
  const same =
    requested === mediaType ||
    (requested !== undefined && isSchema1MediaType(requested) && isSchema1MediaType(mediaType));
  if (requested !== undefined && !same)
    throw new TransportError(
      'bad-option',
      `the manifest of type ${mediaType} cannot be converted to ${requested}: ${frozen}`,
      { hint: 'drop --format, or allow the change with --remove-signatures and without --preserve-digests' },
    );
  if (compression === undefined || destination.layerCompression !== 'compress') return;
  const base = baseOf(compression.format);
  if (layers.some((layer) => isLayerMediaType(layer.mediaType) && compressionOf(layer.mediaType) !== base))
    throw new TransportError(
      'bad-option',
      `layers cannot be compressed with ${compression.format}: ${frozen}`,
      { hint: 'drop the compression format, or allow the manifest to change' },
    );
}

function positionsToEncrypt({ encryptLayers, layers }: PlanInput): Set<number> {
  if (encryptLayers === undefined) return new Set();
  if (encryptLayers.length === 0) return new Set(layers.keys());
  return new Set(
    encryptLayers.map((wanted) => {
      const index = wanted < 0 ? wanted + layers.length : wanted;
      if (index < 0 || index >= layers.length)
        throw new TransportError(
          'bad-option',
          `when choosing layers to encrypt, layer index ${wanted} out of range (${layers.length} layers exist)`,
        );
      return index;
    }),
  );
}
