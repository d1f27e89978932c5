import type { ImageSigner } from '../../../transport/contract.ts';
import type { CommandContext } from '../../cli/contract.ts';
import { imageSigners, signingChoice, simpleSigner } from '../../cli/image-signers.ts';

/** The signer that `--sign-by` asks for. */
export async function signersOf(context: CommandContext): Promise<readonly ImageSigner[]> {
  // Buildah has this one flag, Podman's push all of them.
  if (context.flags.declares('sign-by-sigstore')) return imageSigners(context, signingChoice(context.flags));
  const key = context.flags.string('sign-by');
  return key ? [await simpleSigner(context, key, undefined)] : [];
}
