import type { CopyOptions } from '../../../transport/copy-options.ts';
import type { CommandContext, FlagSpec } from '../../cli/contract.ts';
import { usage } from './arguments.ts';

export const ENCRYPTION_FLAGS: readonly FlagSpec[] = [
  { name: 'encrypt-layer', kind: 'slice', usage: 'encrypt only the layer at `INDEX`, negative from the top' },
  {
    name: 'encryption-key',
    kind: 'slice',
    usage: 'encrypt layers to `KEY`: jwe:FILE, pkcs7:FILE or pgp:ADDRESS',
  },
];

export const DECRYPTION_FLAG: FlagSpec = {
  name: 'decryption-key',
  kind: 'slice',
  usage: 'decrypt layers with `KEY[:PASSWORD]`',
};

/** Reads {@link ENCRYPTION_FLAGS}. */
export async function encryptionOptions({
  flags,
  io,
}: CommandContext): Promise<Pick<CopyOptions, 'encryptLayers' | 'encryptor'>> {
  const keys = flags.list('encryption-key');
  const layers = flags.list('encrypt-layer');
  if (layers.length && keys.length === 0)
    throw usage('--encrypt-layer can be used only with --encryption-key');
  if (keys.length === 0) return {};
  const { openEncryptor } = await import('../../../transport/encrypt/keys.ts');
  return { encryptor: await openEncryptor(keys, io), encryptLayers: layers.map(layerIndex) };
}

/** `--decryption-key`: read once here, so that a key that is none is an error even where nothing is encrypted. */
export async function decryptionKeys({ flags, io }: CommandContext): Promise<readonly string[]> {
  const keys = flags.list('decryption-key');
  if (keys.length === 0) return keys;
  const { openDecryptor } = await import('../../../transport/encrypt/keys.ts');
  await openDecryptor(keys, io);
  return keys;
}

function layerIndex(text: string): number {
  if (/^[+-]?\d{1,9}$/.test(text)) return Number(text);
  throw usage(`invalid argument "${text}" for "--encrypt-layer" flag: not an integer`);
}
