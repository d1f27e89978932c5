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
import type { CommandContext, CommandIo, FlagSpec } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';

/** Whom `slipway verify` believes, where the flags say so. */
export const TRUST_FLAGS: readonly FlagSpec[] = [
  {
    name: 'key',
    short: 'k',
    kind: 'array',
    usage: 'trust the sigstore public key or OpenPGP keys in `FILE`, and no others',
  },
  { name: 'rekor-key', kind: 'array', usage: 'with --key, demand a log entry by the Rekor key in `FILE`' },
  {
    name: 'trusted-root',
    kind: 'string',
    usage:
      'trust the logs and authorities of the sigstore instance that the trusted_root.json `FILE` describes',
  },
  {
    name: 'certificate-identity',
    kind: 'string',
    usage: 'with --trusted-root, trust certificates for this email address or `URI`',
  },
  {
    name: 'certificate-oidc-issuer',
    kind: 'string',
    usage: 'with --certificate-identity, only those of identities that this `ISSUER` vouched for',
  },
];

/** Where `slipway verify` takes keys from. */
export interface GivenTrust {
  readonly io: CommandIo;
  /** True: nothing but what the flags name counts. */
  readonly isGiven: boolean;
  readonly keyFiles: readonly string[];
  readonly rekorKeys: readonly string[];
  readonly trustedRoot: string;
  readonly signer: { readonly subjectEmail: string; readonly oidcIssuer: string } | undefined;
}

/** Reads {@link TRUST_FLAGS}. @throws UsageError `usage` for flags that mean nothing together */
export function givenTrust({ flags, io }: CommandContext): GivenTrust {
  const [keyFiles, rekorKeys] = [flags.list('key'), flags.list('rekor-key')];
  const trustedRoot = flags.string('trusted-root');
  const [subjectEmail, oidcIssuer] = [
    flags.string('certificate-identity'),
    flags.string('certificate-oidc-issuer'),
  ];
  if ((subjectEmail === '') !== (oidcIssuer === ''))
    throw new UsageError('usage', '--certificate-identity and --certificate-oidc-issuer need each other');
  const signer = subjectEmail === '' ? undefined : { subjectEmail, oidcIssuer };
  if (signer && !trustedRoot) throw new UsageError('usage', '--certificate-identity needs --trusted-root');
  if (trustedRoot && !signer && keyFiles.length === 0)
    throw new UsageError('usage', '--trusted-root does not say who may sign', {
      hint: 'give --key, or --certificate-identity and --certificate-oidc-issuer',
    });
  const isGiven = keyFiles.length > 0 || trustedRoot !== '';
  return { io, isGiven, keyFiles, rekorKeys, trustedRoot, signer };
}

/**
 * @param requirements of policy.json for the image, used where no flag names a key
 * @throws SignError `bad-key`
 */
export async function knownKeys(
  given: GivenTrust,
  requirements: readonly PolicyRequirement[],
): Promise<KnownKeys> {
  return given.isGiven ? keysOfFlags(given) : keysOfPolicy(given.io, requirements);
}

async function keysOfFlags(given: GivenTrust): Promise<KnownKeys> {
  const { io, keyFiles, rekorKeys } = given;
  const [{ readKeyring }, { parseSigstoreKey }] = await Promise.all([
    import('../../../sign/simple/keyring.ts'),
    import('../../../sign/sigstore/public-key.ts'),
  ]);
  const files = await Promise.all(keyFiles.map((path) => readKey(io, path)));
  const logs = await Promise.all(rekorKeys.map((path) => readKey(io, path)));
  const root = await rootOfFlags(given);
  const logKeys = [...logs.map((bytes) => ({ key: parseSigstoreKey(bytes) })), ...(root?.logKeys ?? [])];
  const witnesses = { ...(root && { timeAuthorities: root.timeAuthorities }), logKeys };
  const isPem = (bytes: Uint8Array) =>
    /-----BEGIN (?:RSA )?PUBLIC KEY-----/.test(Buffer.from(bytes).toString('latin1'));
  const keys = files.filter(isPem).map((bytes) => parseSigstoreKey(bytes));
  const rings = files.filter((bytes) => !isPem(bytes));
  const { signer } = given;
  return {
    ...(rings.length > 0 && { ring: readKeyring(rings) }),
    sigstore: [
      ...keys.map((key) => ({ keys: [key], ...((root || logKeys.length > 0) && witnesses) })),
      ...(signer && root ? root.authorities : []).map((authority) => ({
        fulcio: { ...authority, ...(signer as NonNullable<typeof signer>), subject: 'email-or-uri' as const },
        ...witnesses,
      })),
    ],
  };
}

async function rootOfFlags({ io, trustedRoot }: GivenTrust) {
  if (!trustedRoot) return undefined;
  const { parseTrustedRoot } = await import('../../../sign/sigstore/trusted-root-file.ts');
  return parseTrustedRoot(await readKey(io, trustedRoot), trustedRoot);
}

async function keysOfPolicy(io: CommandIo, requirements: readonly PolicyRequirement[]): Promise<KnownKeys> {
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
