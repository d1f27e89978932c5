import type { CopyOptions } from '../../../transport/copy-options.ts';
import type { CommandContext } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';
import { prefixed } from './surroundings.ts';

/** `--encryption-key`, `--encrypt-layer` and `--decryption-key`. @throws UsageError where they exclude each other */
export async function readEncryption(
  context: CommandContext,
): Promise<Pick<CopyOptions, 'encryptLayers' | 'encryptor' | 'decryptor'>> {
  const { flags, io } = context;
  const encryption = flags.list('encryption-key');
  const decryption = flags.list('decryption-key');
  const layers = flags.list('encrypt-layer');
  if (encryption.length && decryption.length)
    throw new UsageError('usage', '--encryption-key and --decryption-key cannot be specified together');
  if (layers.length && encryption.length === 0)
    throw new UsageError('usage', '--encrypt-layer can only be used with --encryption-key');
  if (encryption.length === 0 && decryption.length === 0) return {};
  const { openDecryptor, openEncryptor } = await import('../../../transport/encrypt/keys.ts');
  const surroundings = { workingDirectory: io.workingDirectory, environment: io.environment };
  if (decryption.length)
    return {
      decryptor: await openDecryptor(decryption, surroundings).catch(prefixed('Invalid decryption keys')),
    };
  return {
    encryptor: await openEncryptor(encryption, surroundings).catch(prefixed('Invalid encryption keys')),
    encryptLayers: layers.map(readLayerIndex),
  };
}

function readLayerIndex(text: string): number {
  if (/^[+-]?\d{1,9}$/.test(text)) return Number(text);
  throw new UsageError(
    'usage',
    `invalid argument ${JSON.stringify(text)} for "--encrypt-layer" flag: not an integer`,
  );
}
