import type { ImageSigner } from '../../../transport/contract.ts';
import type { CommandContext } from '../../cli/contract.ts';
import { packageVersion } from '../../cli/version.ts';

/** The signer that `--sign-by` asks for. */
export async function signersOf({ flags, io, signal }: CommandContext): Promise<readonly ImageSigner[]> {
  const key = flags.string('sign-by');
  if (!key) return [];
  const { createSimpleSigner } = await import('../../../sign/simple/signer.ts');
  return [
    createSimpleSigner({
      key: { from: 'gpg', key, gpg: { environment: io.environment, signal } },
      creator: `slipway ${packageVersion()}`,
      now: Date.now,
    }),
  ];
}
