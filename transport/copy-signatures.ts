import type { Digest } from '../image/digest.ts';
import { formatReference } from '../image/reference.ts';
import type { ImageSource, StoredSignature } from './contract.ts';
import type { CopiedImage, CopySession } from './copy-session.ts';
import { TransportError } from './error.ts';
import { formatImageReference } from './references.ts';

/** Read when first asked for, and once. */
export function lazySignatures(
  source: ImageSource,
  instance?: Digest,
): () => Promise<readonly StoredSignature[]> {
  let read: Promise<readonly StoredSignature[]> | undefined;
  return () => {
    read ??= source.getSignatures(instance);
    return read;
  };
}

/** The signatures to carry over; fails before bytes move where the destination cannot hold them. */
export async function keptSignatures(
  session: CopySession,
  signatures: () => Promise<readonly StoredSignature[]>,
  isIndex: boolean,
): Promise<readonly StoredSignature[]> {
  const { options } = session;
  if (options.removeSignatures || (isIndex && options.removeListSignatures)) return [];
  const list = isIndex ? 'list ' : '';
  session.say('signatures', isIndex ? 'Getting image list signatures' : 'Getting image source signatures');
  const found = await signatures();
  if (found.length === 0) return found;
  session.say('signatures', `Checking if image ${list}destination supports signatures`);
  checkSignatureKinds(
    session,
    found.map(({ kind }) => kind),
  );
  return found;
}

/** @throws TransportError `unsupported` */
export function checkSignatureKinds(session: CopySession, kinds: readonly StoredSignature['kind'][]): void {
  const { destination } = session;
  const lost = kinds.find((kind) => !destination.signatureKinds.includes(kind));
  if (lost === undefined) return;
  const name = formatImageReference(destination.reference);
  throw new TransportError(
    'unsupported',
    `Can not copy signatures to ${name}: ${destination.signatureKinds.length ? `it cannot hold ${lost} signatures` : `storing signatures is not supported for ${destination.reference.transport}: destinations`}`,
    { hint: 'use --remove-signatures to copy the image without them' },
  );
}

/** Adds new signatures to those kept, and stores them. */
export async function sign(
  session: CopySession,
  { manifest, digest }: CopiedImage,
  kept: readonly StoredSignature[],
  asChild: boolean,
): Promise<void> {
  const { destination, options } = session;
  const signers = options.signers ?? [];
  const signatures = [...kept];
  for (const [index, signer] of signers.entries()) {
    const identity = options.signIdentity ?? destination.reference.named;
    if (!identity)
      throw new TransportError(
        'signing',
        `Cannot determine canonical Docker reference for destination ${formatImageReference(destination.reference)}`,
        { hint: 'name the identity to sign with --sign-identity' },
      );
    const number = signers.length === 1 ? '' : ` ${index + 1}`;
    session.say('signatures', `Creating signature${number}: Signing image ${formatReference(identity)}`);
    signatures.push(await signer.sign(manifest.bytes, identity));
  }
  if (signatures.length === 0) return;
  session.say('signatures', 'Storing signatures');
  await destination.putSignatures(signatures, asChild ? digest : undefined);
}
