import type { ImageSigner } from '../../../transport/contract.ts';
import type { CommandContext } from '../../cli/contract.ts';
import { simpleSigner } from '../../cli/image-signers.ts';

/** The signer that `--sign-by` asks for. */
export async function signersOf(context: CommandContext): Promise<readonly ImageSigner[]> {
  const key = context.flags.string('sign-by');
  return key ? [await simpleSigner(context, key, undefined)] : [];
}
