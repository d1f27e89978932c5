import type { NamedReference } from '../../image/reference.ts';
import type { SignatureBlob } from '../../image/signature.ts';

/** What a policy needs of a reference; transport's ImageReference is one. */
export interface PolicySubjectReference {
  readonly transport: string;
  readonly within: string;
  readonly named?: NamedReference;
  readonly policyIdentity: string;
  readonly policyNamespaces: readonly string[];
}

/**
 * An image a policy decides about; transport's UnverifiedImage is one. `manifest.bytes` must be the very bytes that
 * are used afterwards: for one instance of an index, that instance's.
 */
export interface PolicySubject {
  readonly reference: PolicySubjectReference;
  readonly manifest: { readonly bytes: Uint8Array };
  signatures(): Promise<readonly SignatureBlob[]>;
}

/** `transport:within`, as messages and logs name an image. */
export function subjectName(reference: PolicySubjectReference): string {
  return `${reference.transport}:${reference.within}`;
}
