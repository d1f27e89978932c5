/** OCI artifacts: pack, push, pull, attach, discover, as the `oras` tool does them, over every transport. */
export { discoverReferrers, type ReferrerNode } from './discover.ts';
export { ArtifactError, type ArtifactErrorCode } from './error.ts';
export { type ArtifactFile, type ArtifactOptions, artifactManifest, EMPTY_DESCRIPTOR } from './pack.ts';
export { type PullArtifactOptions, type PulledFile, pullArtifact } from './pull.ts';
export { attachArtifact, type PushArtifactOptions, pushArtifact, resolveDescriptor } from './push.ts';
