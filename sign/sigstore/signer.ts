import type { JsonObject } from '../../image/json.ts';
import { manifestDigest } from '../../image/manifest.ts';
import { formatReference, type NamedReference } from '../../image/reference.ts';
import { SignError } from '../error.ts';
import { formatPayload } from '../payload.ts';
import type { Signer } from '../signer.ts';
import { ANNOTATION, SIGSTORE_SIGNATURE_TYPE } from './annotations.ts';
import { publicPart, type SigstoreIdentity } from './identity.ts';
import { signBlob } from './private-key.ts';
import type { LoggedSignature } from './rekor-entry.ts';

export interface SigstoreSignerOptions {
  /** Called once, when first needed. @throws SignError `bad-key`, `bad-passphrase`, `signing` */
  readonly identity: () => Promise<SigstoreIdentity>;
  /** Records a signature in a log and returns the signed entry timestamp's JSON; absent: not logged. */
  readonly log?: (logged: LoggedSignature) => Promise<string>;
  /** Records a bundle's envelope in a log and returns its `tlogEntries` member; absent: not logged. */
  readonly logEnvelope?: (envelope: JsonObject, keyOrCertificate: string) => Promise<JsonObject>;
  /** `slipway 1.2.3`, kept in the payload. */
  readonly creator: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Makes attachments, and bundles with the same identity. */
export interface SigstoreSigner extends Signer<'sigstore'> {
  bundle(manifest: Uint8Array): Promise<Uint8Array>;
}

/** Signs manifests as Cosign and containers/image do, for storage as attachment, or as Cosign 3 does, as bundle. */
export function createSigstoreSigner(options: SigstoreSignerOptions): SigstoreSigner {
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
    async bundle(manifest) {
      const { createBundle } = await import('./bundle.ts');
      return createBundle(await load(), manifestDigest(manifest), options.logEnvelope);
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
