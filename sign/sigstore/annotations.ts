import { SignError } from '../error.ts';

/** The layer type of Cosign's signatures; anything else among attachments is not a signature. */
export const SIGSTORE_SIGNATURE_TYPE = 'application/vnd.dev.cosign.simplesigning.v1+json';

/** Annotations of an attachment layer: Cosign's SIGNATURE_SPEC. */
export const ANNOTATION = {
  signature: 'dev.cosignproject.cosign/signature',
  /** Rekor's signed entry timestamp. */
  bundle: 'dev.sigstore.cosign/bundle',
  certificate: 'dev.sigstore.cosign/certificate',
  chain: 'dev.sigstore.cosign/chain',
} as const;

/** @throws SignError `invalid-signature` */
export function requiredAnnotation(annotations: Readonly<Record<string, string>>, key: string): string {
  const value = Object.hasOwn(annotations, key) ? annotations[key] : undefined;
  if (value === undefined) throw new SignError('invalid-signature', `missing ${key} annotation`);
  return value;
}
