import { createPublicKey, type KeyObject } from 'node:crypto';
import { manifestDigest } from '../../image/manifest.ts';
import { formatReference, type NamedReference } from '../../image/reference.ts';
import { SignError } from '../error.ts';
import { formatPayload } from '../payload.ts';
import type { Signer } from '../signer.ts';
import { ANNOTATION, SIGSTORE_SIGNATURE_TYPE } from './annotations.ts';
import { signBlob } from './private-key.ts';
import { formatSigstoreKey } from './public-key.ts';
import type { LoggedSignature } from './rekor-entry.ts';

/** What signs: a private key alone, or one that a Fulcio certificate vouches for. */
export interface SigstoreIdentity {
  readonly privateKey: KeyObject;
  /** PEM of the leaf certificate and of what stands above it. */
  readonly certificate?: string;
  readonly chain?: string;
}

export interface SigstoreSignerOptions {
  /** Called once, when first needed. @throws SignError `bad-key`, `bad-passphrase`, `signing` */
  readonly identity: () => Promise<SigstoreIdentity>;
  /** Records a signature in a log and returns the signed entry timestamp's JSON; absent: not logged. */
  readonly log?: (logged: LoggedSignature) => Promise<string>;
  /** `slipway 1.2.3`, kept in the payload. */
  readonly creator: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Signs manifests as Cosign and containers/image do, for storage as attachment. */
export function createSigstoreSigner(options: SigstoreSignerOptions): Signer<'sigstore'> {
  let identity: Promise<SigstoreIdentity> | undefined;
  const load = () => {
    identity ??= options.identity();
    return identity;
  };
  return {
    kind: 'sigstore',
    async prepare() {
      await load();
    },
    async sign(manifest, name) {
      return signWith(await load(), manifest, name, options);
    },
  };
}

async function signWith(
  identity: SigstoreIdentity,
  manifest: Uint8Array,
  name: NamedReference,
  options: SigstoreSignerOptions,
) {
  if (name.tag === undefined && name.digest === undefined)
    throw new SignError(
      'bad-parameters',
      `reference ${formatReference(name)} can’t be signed, it has neither a tag nor a digest`,
    );
  const payload = formatPayload('sigstore', {
    digest: manifestDigest(manifest),
    reference: formatReference(name),
    creator: options.creator,
    timestamp: Math.floor(options.now() / 1000),
  });
  const signature = signBlob(identity.privateKey, payload);
  const entry = await options.log?.({ keyOrCertificate: publicPart(identity), signature, payload });
  return {
    kind: 'sigstore' as const,
    mediaType: SIGSTORE_SIGNATURE_TYPE,
    payload,
    annotations: {
      [ANNOTATION.signature]: Buffer.from(signature).toString('base64'),
      ...(identity.certificate && { [ANNOTATION.certificate]: identity.certificate }),
      ...(identity.chain && { [ANNOTATION.chain]: identity.chain }),
      ...(entry && { [ANNOTATION.bundle]: entry }),
    },
  };
}

/** What verifies the signature: the certificate where there is one, else the public key. PEM. */
export function publicPart(identity: SigstoreIdentity): string {
  return identity.certificate ?? formatSigstoreKey(createPublicKey(identity.privateKey));
}
