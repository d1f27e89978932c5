/** Signatures and trust: making and verifying them, and the policy that decides which images may be read. */
export { SignError, type SignErrorCode } from './error.ts';
export { type FoundSignature, judgeSignature, type KnownKeys, type SignatureVerdict } from './found.ts';
export { formatPayload, parsePayload, type SignaturePayload } from './payload.ts';
export { describeTrust, type TrustRow } from './policy/describe.ts';
export { setPolicyRule, setSignatureStorage, type TrustChoice } from './policy/edit.ts';
export {
  createPolicy,
  type ImagePolicy,
  type PolicyEvaluationOptions,
  selectRequirements,
} from './policy/policy.ts';
export type { PolicySubject, PolicySubjectReference } from './policy/subject.ts';
export type { Signer } from './signer.ts';
export { ANNOTATION, SIGSTORE_SIGNATURE_TYPE } from './sigstore/annotations.ts';
export {
  type BundleTrust,
  createBundle,
  SIGN_PREDICATE,
  type VerifiedBundle,
  verifyBundle,
} from './sigstore/bundle.ts';
export { BUNDLE_TYPE } from './sigstore/bundle-format.ts';
export type { SigstoreIdentity } from './sigstore/identity.ts';
export { parseSigningParameters, type SigningParameters } from './sigstore/parameters.ts';
export { decryptPrivateKey, generateSigstoreKey } from './sigstore/private-key.ts';
export {
  createSigstoreSigner,
  type SigstoreSigner,
  type SigstoreSignerOptions,
} from './sigstore/signer.ts';
export {
  identityFromKeyFile,
  type ParameterSignerOptions,
  readPassphraseFile,
  signerFromParameters,
} from './sigstore/signer-from-parameters.ts';
export { type TimeAuthority, verifyTimestamp } from './sigstore/timestamp.ts';
export type { LogKey } from './sigstore/transparency-log.ts';
export { type SigstoreTrust, verifyAttachment } from './sigstore/trust-root.ts';
export { parseTrustedRoot, type TrustedRoot } from './sigstore/trusted-root-file.ts';
export { type GpgOptions, gpgSecretKey, hasGpg } from './simple/gpg.ts';
export { gnupgHome, readHomeKeyring } from './simple/home.ts';
export { type Keyring, readKeyring, type VerificationKey } from './simple/keyring.ts';
export {
  createSimpleSigner,
  type SimpleKey,
  type SimpleSignerOptions,
  signManifest,
} from './simple/signer.ts';
export { dumpUntrusted, type StandaloneVerification, verifyStandalone } from './simple/standalone.ts';
export { type VerifiedMessage, verifyMessage } from './simple/verify.ts';
