/** Readers of the host's configuration files: parsed values out, no decisions. */
export {
  type AuthOptions,
  findCredentials,
  removeAllCredentials,
  removeCredentials,
  storeCredentials,
} from './auth.ts';
export { type AuthFileOptions, requireAuthFile } from './auth-file.ts';
export { type CertificateOptions, type RegistryCertificates, readCertificates } from './certs.ts';
export {
  type ContainersConfig,
  type ContainersConfigOptions,
  type LoadedContainersConfig,
  readContainersConfig,
} from './containers.ts';
export type { Credentials } from './credential-helper.ts';
export { ConfigError, type ConfigErrorCode } from './error.ts';
export type { HostEnvironment } from './host.ts';
export { findPolicy, type PolicyOptions, parsePolicy, readPolicy } from './policy.ts';
export type { Policy, PolicyRequirement, SignedIdentity } from './policy-types.ts';
export { type RegistriesOptions, readRegistries } from './registries.ts';
export {
  lookasideFor,
  readSignatureStorage,
  type SignatureStorage,
  usesSigstoreAttachments,
} from './registries-d.ts';
export { findRegistry, type PullSource, pullSources } from './registries-match.ts';
export type { RegistriesConfig, RegistryMirror, RegistryRule, ShortNameMode } from './registries-types.ts';
export { isShortName, type ResolvedName, recordAlias, resolveShortName } from './short-names.ts';
export { readStorageConfig, type StorageConfig, type StorageConfigOptions } from './storage.ts';
