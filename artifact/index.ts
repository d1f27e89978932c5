/** OCI artifacts: pack, push, pull, attach, discover, tag, back up and restore, as the `oras` tool does them, over every transport. */
export { type BackupOptions, backUpRepository, restoreRepository } from './backup.ts';
export { deleteBlob, describeBlob, fetchBlob, pushBlob } from './blob.ts';
export { discoverReferrers, type ReferrerNode } from './discover.ts';
export { ArtifactError, type ArtifactErrorCode } from './error.ts';
export { type FetchedManifest, fetchConfig, fetchManifest, storeManifest, tagArtifact } from './manifest.ts';
export { type ArtifactFile, type ArtifactOptions, artifactManifest, EMPTY_DESCRIPTOR } from './pack.ts';
export { type PullArtifactOptions, type PulledFile, pullArtifact } from './pull.ts';
export {
  attachArtifact,
  type PushArtifactOptions,
  type PushedManifest,
  pushArtifact,
  resolveDescriptor,
} from './push.ts';
