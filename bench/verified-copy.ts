// What verifying adds to a copy: the same image copied in turn with and without a policy that wants a signature.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { generateSigstoreKey } from '../sign/sigstore/private-key.ts';
import type { Bench } from './bench.ts';
import { mixedBytes } from './data.ts';
import { measure } from './measure.ts';

const KINDS = ['signedBy', 'sigstoreSigned'] as const;

/** Milliseconds that verifying adds: the fastest run with it less the fastest without, since other work only slows. */
export async function measureVerifiedCopy(
  bench: Bench,
  runs: number,
): Promise<Readonly<Record<(typeof KINDS)[number], number>>> {
  await signedImage(bench);
  const added = { signedBy: 0, sigstoreSigned: 0 };
  for (const kind of KINDS) {
    const [plain, verified]: [number[], number[]] = [[], []];
    for (let run = 0; run < runs; run += 1) {
      plain.push(await copy(bench, ['--insecure-policy']));
      verified.push(await copy(bench, ['--policy', bench.path(`${kind}.json`)]));
    }
    added[kind] = (Math.min(...verified) - Math.min(...plain)) * 1000;
  }
  return added;
}

async function copy(bench: Bench, policy: readonly string[]): Promise<number> {
  const to = bench.path('verified');
  rmSync(to, { recursive: true, force: true });
  const places = ['--registries.d', bench.path('registries.d')];
  const image = `docker://${bench.registry}/signed:1`;
  const args = [...policy, ...places, 'copy', '--quiet', '--src-tls-verify=false', image, `dir:${to}`];
  return (await measure(bench.tool('skopeo'), args)).seconds;
}

/** A small image with a simple signature in a lookaside store and a Cosign attachment, and a policy for each. */
async function signedImage(bench: Bench): Promise<void> {
  const openpgp = await import('openpgp');
  const pair = await openpgp.generateKey({
    type: 'ecc',
    curve: 'ed25519Legacy',
    userIDs: [{ name: 'bench' }],
    date: new Date(Date.now() - 10_000),
  });
  const sigstore = await generateSigstoreKey(Buffer.from('bench'));
  mkdirSync(bench.path('registries.d'), { recursive: true });
  mkdirSync(bench.path('signed'), { recursive: true });
  for (const [name, text] of Object.entries({
    'registries.d/bench.yaml': `default-docker:\n  lookaside: file://${bench.path('lookaside')}\n  use-sigstore-attachments: true\n`,
    'bench.asc': pair.privateKey,
    'bench.gpg': pair.publicKey,
    'bench.private': sigstore.privateKey,
    'bench.pub': sigstore.publicKey,
    'bench.pass': 'bench\n',
    'signedBy.json': policy({ type: 'signedBy', keyType: 'GPGKeys', keyPath: bench.path('bench.gpg') }),
    'sigstoreSigned.json': policy({
      type: 'sigstoreSigned',
      keyPath: bench.path('bench.pub'),
      signedIdentity: { type: 'matchRepository' },
    }),
  }))
    writeFileSync(bench.path(name), text);
  writeFileSync(bench.path('signed/data'), mixedBytes(2_000_000, 77));
  bench.importTree('ours', bench.path('signed'), 'localhost/signed');
  const push = ['--quiet', '--dest-tls-verify=false', ...signers(bench)];
  const [root, run] = [bench.path('ours-root'), bench.path('ours-run')];
  bench.run('bin/skopeo', [
    '--insecure-policy',
    ...['--registries.d', bench.path('registries.d')],
    ...['copy', ...push, `containers-storage:[overlay@${root}+${run}]localhost/signed`],
    `docker://${bench.registry}/signed:1`,
  ]);
}

function policy(requirement: object): string {
  return JSON.stringify({ default: [requirement] });
}

function signers(bench: Bench): string[] {
  // One passphrase file serves one signer alone; the OpenPGP key has none.
  writeFileSync(
    bench.path('sigstore.yaml'),
    JSON.stringify({
      privateKeyFile: bench.path('bench.private'),
      privateKeyPassphraseFile: bench.path('bench.pass'),
    }),
  );
  return ['--sign-by', bench.path('bench.asc'), '--sign-by-sigstore', bench.path('sigstore.yaml')];
}
