/** Places that hold images, and what is done with images between them: copy, inspect, list, delete, synchronize. */
export { type BlobCache, type KnownBlob, openBlobCache } from './blob-cache.ts';
export type { CompressionChoice } from './compress.ts';
export type * from './contract.ts';
export { isDeletable, listsReferrers, listsTags, TRANSPORTS } from './contract.ts';
export {
  type CopyOptions,
  type CopyResult,
  copyImage,
  type IndexSelection,
  type ReferrerSelection,
} from './copy.ts';
export type { LayerDecryptor, LayerEncryptor } from './copy-options.ts';
export { deleteImage } from './delete.ts';
export { openDecryptor, openEncryptor } from './encrypt/keys.ts';
export { TransportError, type TransportErrorCode } from './error.ts';
export {
  type ImageInspection,
  type InspectedLayer,
  inspectImage,
  openImage,
  readImageConfig,
} from './inspect.ts';
export { type LoginOptions, login, logout } from './login.ts';
export { type ImagePlan, type LayerPlan, type ManifestRequest, planImage } from './plan.ts';
export { formatImageReference, parseImageReference } from './references.ts';
export { type RetryOptions, withRetries } from './retry.ts';
export {
  configuredSources,
  directorySources,
  parseSyncConfig,
  planSync,
  planToJson,
  registrySources,
  type SyncGroup,
  type SyncItem,
  type SyncPlan,
  type SyncSource,
  type SyncTarget,
  shardPlan,
  syncImages,
} from './sync.ts';
export { listTags } from './tags.ts';
