/** Pure values of container images: digests, references, manifests, indexes, configs, platforms and conversions. */
export {
  type Healthcheck,
  type HistoryEntry,
  type ImageConfig,
  parseImageConfig,
  type RuntimeConfig,
} from './config.ts';
export {
  type ConvertedImage,
  convertImage,
  convertIndex,
  convertLayerType,
  type ManifestFormat,
  ociConfigBytes,
  withCompression,
} from './convert.ts';
export type { Annotations, Descriptor } from './descriptor.ts';
export {
  algorithmOf,
  type Digest,
  type DigestAlgorithm,
  digestOf,
  encodedOf,
  parseDigest,
  tryParseDigest,
} from './digest.ts';
export { ImageError, type ImageErrorCode } from './error.ts';
export { goJson, goJsonText } from './go-json.ts';
export { type JsonObject, type JsonValue, parseJson, parseJsonObject } from './json.ts';
export {
  guessManifestMediaType,
  type ImageIndex,
  type ImageManifest,
  type Manifest,
  type ManifestDocument,
  manifestDigest,
  matchesManifestDigest,
  parseDescriptor,
  parseManifest,
  type Schema1Manifest,
} from './manifest.ts';
export {
  type Compression,
  compressionOf,
  isForeignLayer,
  isIndexMediaType,
  isLayerMediaType,
  isSchema1MediaType,
  layerMediaType,
  MEDIA_TYPE,
} from './media-type.ts';
export {
  acceptablePlatforms,
  choosePlatform,
  formatPlatform,
  normalizePlatform,
  type Platform,
  parsePlatform,
  platformOf,
} from './platform.ts';
export {
  familiarReference,
  formatReference,
  isRepositoryPath,
  isTag,
  type NamedReference,
  parseReference,
  repositoryOf,
  withDefaultTag,
  withSelector,
} from './reference.ts';
export { dockerToSchema1, schema1Layers, schema1ToDocker } from './schema1.ts';
export { serializeIndex, serializeManifest } from './serialize.ts';
export { formatSignatureBlob, parseSignatureBlob, type SignatureBlob } from './signature.ts';
