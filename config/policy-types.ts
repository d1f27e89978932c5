import type { NamedReference } from '../image/reference.ts';

/** policy.json as containers-policy.json(5) describes it, checked. */
export interface Policy {
  /** What applies where no transport scope does; never empty. */
  readonly default: readonly PolicyRequirement[];
  /** By transport name, then by scope; the scope `''` is the transport's own default. */
  readonly transports: ReadonlyMap<string, ReadonlyMap<string, readonly PolicyRequirement[]>>;
  /** The file it came from; undefined for the built-in policy. */
  readonly path?: string;
}

/** Where keys or certificates stand: files read when first needed, or the bytes themselves. */
export type KeySource = { readonly paths: readonly string[] } | { readonly data: readonly Uint8Array[] };

export type PolicyRequirement =
  | { readonly type: 'insecureAcceptAnything' }
  | { readonly type: 'reject' }
  | SignedByRequirement
  | SigstoreSignedRequirement
  | { readonly type: 'signedBaseLayer'; readonly baseLayerIdentity: SignedIdentity };

export const KEY_TYPES = ['GPGKeys', 'signedByGPGKeys', 'X509Certificates', 'signedByX509CAs'] as const;

export interface SignedByRequirement {
  readonly type: 'signedBy';
  /** Only `GPGKeys` can be evaluated, here as in containers/image. */
  readonly keyType: (typeof KEY_TYPES)[number];
  readonly keys: KeySource;
  readonly signedIdentity: SignedIdentity;
}

export interface SigstoreSignedRequirement {
  readonly type: 'sigstoreSigned';
  /** Exactly one of keys, fulcio and pki is set. */
  readonly keys?: KeySource;
  readonly fulcio?: FulcioRequirement;
  readonly pki?: PkiRequirement;
  readonly rekorPublicKeys?: KeySource;
  readonly signedIdentity: SignedIdentity;
}

export interface FulcioRequirement {
  readonly ca: KeySource;
  readonly oidcIssuer: string;
  readonly subjectEmail: string;
}

export interface PkiRequirement {
  readonly caRoots: KeySource;
  readonly caIntermediates?: KeySource;
  readonly subjectEmail?: string;
  readonly subjectHostname?: string;
}

/** Which name a signature must carry for an image. */
export type SignedIdentity =
  | { readonly type: 'matchExact' }
  | { readonly type: 'matchRepoDigestOrExact' }
  | { readonly type: 'matchRepository' }
  | { readonly type: 'exactReference'; readonly reference: NamedReference }
  | { readonly type: 'exactRepository'; readonly reference: NamedReference }
  | { readonly type: 'remapIdentity'; readonly prefix: string; readonly signedPrefix: string };
