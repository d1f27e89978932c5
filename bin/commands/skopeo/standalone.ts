import { readFile, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';
import { packageVersion } from '../../cli/version.ts';
import { prefixed } from './surroundings.ts';

/** `skopeo standalone-sign`. */
export const standaloneSign: CommandSpec = {
  name: 'standalone-sign',
  summary: 'Create a signature using local files',
  usage: '[command options] MANIFEST DOCKER-REFERENCE KEY-FINGERPRINT --output|-o SIGNATURE',
  flags: [
    { name: 'output', short: 'o', kind: 'string', usage: 'write the signature to `SIGNATURE`' },
    { name: 'passphrase-file', kind: 'string', usage: 'take the passphrase of the key from `FILE`' },
  ],
  async run(context) {
    const { args, flags, io } = context;
    const output = flags.string('output');
    const [manifestPath = '', reference = '', fingerprint = ''] = args;
    if (args.length !== 3 || output === '')
      throw new UsageError(
        'usage',
        'Usage: skopeo standalone-sign manifest docker-reference key-fingerprint -o signature',
      );
    const manifest = await readInput(context, manifestPath, `Error reading ${manifestPath}`);
    const { simpleKey } = await import('../../cli/image-signers.ts');
    const { signManifest } = await import('../../../sign/simple/signer.ts');
    const passphrase = await readPassphrase(context);
    const signature = await signManifest(manifest, reference, {
      key: await simpleKey(context, fingerprint),
      ...(passphrase === undefined ? {} : { passphrase }),
      creator: `slipway ${packageVersion()}`,
      now: Date.now,
    }).catch(prefixed('Error creating signature'));
    await writeFile(resolve(io.workingDirectory, output), signature).catch(
      prefixed(`Error writing signature to ${output}`),
    );
  },
};

async function readPassphrase({ flags, io }: CommandContext): Promise<string | undefined> {
  const file = flags.string('passphrase-file');
  if (file === '') return undefined;
  const { readPassphraseFile } = await import('../../../sign/sigstore/signer-from-parameters.ts');
  return readPassphraseFile(resolve(io.workingDirectory, file));
}

/** `skopeo standalone-verify`. */
export const standaloneVerify: CommandSpec = {
  name: 'standalone-verify',
  summary: 'Verify a signature using local files',
  description:
    'Verifies a signature using local files.\n\nKEY-FINGERPRINTS is a comma-separated list of fingerprints, or "any" to accept every key in the public key file.',
  usage: 'MANIFEST DOCKER-REFERENCE KEY-FINGERPRINTS SIGNATURE',
  flags: [
    {
      name: 'public-key-file',
      kind: 'string',
      usage: 'take public keys from `FILE`; without it those of GnuPG are used',
    },
  ],
  async run(context) {
    const { args } = context;
    const [manifestPath = '', reference = '', keys = '', signaturePath = ''] = args;
    if (args.length !== 4)
      throw new UsageError(
        'usage',
        'Usage: skopeo standalone-verify manifest docker-reference key-fingerprint signature',
      );
    const fingerprints = keys.split(',').map((key) => (key === 'any' ? key : key.toUpperCase()));
    if (context.flags.string('public-key-file') === '' && keys === 'any')
      throw new UsageError('usage', 'Cannot use any fingerprint without a public key file');
    const manifest = await readInput(context, manifestPath, `Error reading manifest from ${manifestPath}`);
    const signature = await readInput(
      context,
      signaturePath,
      `Error reading signature from ${signaturePath}`,
    );
    const { verifyStandalone } = await import('../../../sign/simple/standalone.ts');
    const ring = await openKeyring(context);
    const { fingerprint, payload } = verify(() =>
      verifyStandalone({ manifest, reference, signature }, ring, fingerprints, Date.now()),
    );
    context.print(`Signature verified using fingerprint ${fingerprint}, digest ${payload.digest}`);
  },
};

async function openKeyring(context: CommandContext) {
  const file = context.flags.string('public-key-file');
  if (file === '') {
    const { gnupgHome, readHomeKeyring } = await import('../../../sign/simple/home.ts');
    return readHomeKeyring(gnupgHome(context.io.environment));
  }
  const { readKeyring } = await import('../../../sign/simple/keyring.ts');
  return readKeyring([await readInput(context, file, `Error reading public keys from ${file}`)]);
}

function verify<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    return prefixed('Error verifying signature')(error);
  }
}

function readInput({ io }: CommandContext, path: string, what: string): Promise<Uint8Array> {
  return readFile(resolve(io.workingDirectory, path)).catch(prefixed(what));
}

/** The undocumented command of the original that shows what a signature claims, for people who debug. */
export const untrustedDump: CommandSpec = {
  name: 'untrusted-signature-dump-without-verification',
  summary: 'Show what a signature claims WITHOUT VERIFYING IT',
  usage: 'SIGNATURE',
  hidden: true,
  args: {
    min: 1,
    max: 1,
    message: 'Usage: skopeo untrusted-signature-dump-without-verification signature',
  },
  async run(context) {
    const path = context.args[0] as string;
    const { dumpUntrusted } = await import('../../../sign/simple/standalone.ts');
    const bytes = await readInput(context, path, `Error reading untrusted signature from ${path}`);
    const { payload, keyId } = dumpUntrusted(bytes);
    const shown = {
      UntrustedDockerManifestDigest: payload.digest,
      UntrustedDockerReference: payload.reference,
      UntrustedCreatorID: payload.creator ?? null,
      UntrustedTimestamp:
        payload.timestamp === undefined ? null : new Date(payload.timestamp * 1000).toISOString(),
      UntrustedShortKeyIdentifier: keyId,
    };
    context.print(JSON.stringify(shown, undefined, 4));
  },
};
