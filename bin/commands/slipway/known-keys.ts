import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type {
  PolicyRequirement,
  SignedByRequirement,
  SigstoreSignedRequirement,
} from '../../../config/policy-types.ts';
import { isSystemError } from '../../../errors.ts';
import { SignError } from '../../../sign/error.ts';
import type { KnownKeys } from '../../../sign/found.ts';
import type { SigstoreTrust } from '../../../sign/sigstore/trust-root.ts';
import type { CommandIo } from '../../cli/contract.ts';

/** Where `slipway verify` takes keys from. */
export interface KeyPlaces {
  readonly io: CommandIo;
  /** Explicit files; when there are any, nothing else counts. */
  readonly keyFiles: readonly string[];
  readonly rekorKeys: readonly string[];
  /** Of policy.json for the image. */
  readonly requirements: readonly PolicyRequirement[];
}

/** @throws SignError `bad-key` */
export async function knownKeys(places: KeyPlaces): Promise<KnownKeys> {
  return places.keyFiles.length > 0 ? keysOfFiles(places) : keysOfPolicy(places);
}

async function keysOfFiles({ io, keyFiles, rekorKeys }: KeyPlaces): Promise<KnownKeys> {
  const [{ readKeyring }, { parseSigstoreKey }] = await Promise.all([
    import('../../../sign/simple/keyring.ts'),
    import('../../../sign/sigstore/public-key.ts'),
  ]);
  const files = await Promise.all(keyFiles.map((path) => readKey(io, path)));
  const logs = await Promise.all(rekorKeys.map((path) => readKey(io, path)));
  const logKeys = logs.map((bytes) => parseSigstoreKey(bytes));
  const isPem = (bytes: Uint8Array) =>
    /-----BEGIN (?:RSA )?PUBLIC KEY-----/.test(Buffer.from(bytes).toString('latin1'));
  const keys = files.filter(isPem).map((bytes) => parseSigstoreKey(bytes));
  const rings = files.filter((bytes) => !isPem(bytes));
  return {
    ...(rings.length > 0 && { ring: readKeyring(rings) }),
    sigstore: keys.map((key) => ({ keys: [key], ...(logKeys.length > 0 && { logKeys }) })),
  };
}

async function keysOfPolicy({ io, requirements }: KeyPlaces): Promise<KnownKeys> {
  const [{ readKeyring }, { gnupgHome, readHomeKeyring }, { loadKeys }, { loadSigstoreTrust }] =
    await Promise.all([
      import('../../../sign/simple/keyring.ts'),
      import('../../../sign/simple/home.ts'),
      import('../../../sign/policy/key-source.ts'),
      import('../../../sign/policy/sigstore-signed.ts'),
    ]);
  const signedBy = requirements.filter((one): one is SignedByRequirement => one.type === 'signedBy');
  const sigstoreSigned = requirements.filter(
    (one): one is SigstoreSignedRequirement => one.type === 'sigstoreSigned',
  );
  const blobs = (await Promise.all(signedBy.map(({ keys }) => loadKeys(keys)))).flat();
  const sigstore: SigstoreTrust[] = await Promise.all(sigstoreSigned.map(loadSigstoreTrust));
  const ring = signedBy.length > 0 ? readKeyring(blobs) : await readHomeKeyring(gnupgHome(io.environment));
  return { ring, sigstore };
}

async function readKey(io: CommandIo, path: string): Promise<Uint8Array> {
  try {
    return await readFile(resolve(io.workingDirectory, path));
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    throw new SignError('bad-key', `open ${path}: ${cause.message}`, { cause });
  }
}
