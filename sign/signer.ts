import type { NamedReference } from '../image/reference.ts';
import type { SignatureBlob } from '../image/signature.ts';

/** Makes one signature over a manifest for a name; transport's ImageSigner. */
export interface Signer<Kind extends SignatureBlob['kind'] = SignatureBlob['kind']> {
  readonly kind: Kind;
  /** Fails before anything is pushed when the key or its passphrase is unusable. @throws SignError */
  prepare(): Promise<void>;
  /** @param identity with a tag or a digest @throws SignError */
  sign(manifest: Uint8Array, identity: NamedReference): Promise<SignatureBlob & { readonly kind: Kind }>;
}
