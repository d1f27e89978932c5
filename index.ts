/**
 * Slipway as a library. {@link openSlipway} reads the configuration files and gives copy and build with everything set
 * up; the functions below it take their surroundings as parameters. Each domain has its own subpath: `slipway/image`,
 * `slipway/config`, `slipway/store`, `slipway/sign`, `slipway/transport`, `slipway/build`, `slipway/artifact`,
 * `slipway/registry`.
 */
export { buildImage } from './build/exec/build.ts';
export type { BuildEvent, OnBuildEvent } from './build/exec/events.ts';
export type { BuildOptions, BuildResult } from './build/exec/options.ts';
export type { BuildRequest } from './build/request.ts';
export { type ErrorDetails, isSystemError, SlipwayError } from './errors.ts';
export { openSlipway, type Slipway, type SlipwayOptions } from './facade.ts';
export { type Digest, digestOf, parseDigest } from './image/digest.ts';
export { type NamedReference, parseReference } from './image/reference.ts';
export { startRegistry } from './registry/index.ts';
export { createPolicy } from './sign/index.ts';
export { openStore } from './store/index.ts';
export type {
  AdmissionPolicy,
  ImageDestination,
  ImageReference,
  ImageSigner,
  ImageSource,
  OnProgress,
  TransferEvent,
  TransportContext,
} from './transport/contract.ts';
export { type CopyOptions, type CopyResult, copyImage } from './transport/copy.ts';
export { formatImageReference, parseImageReference } from './transport/references.ts';
