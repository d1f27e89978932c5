// Counts whole signature checks in a second on one core: policy, signature, payload and identity, with an Ed25519 key.
// usage: node bench/signature-checks.ts [CHECKS]
import { generateKeyPairSync } from 'node:crypto';
import { parsePolicy } from '../config/policy.ts';
import { parseReference } from '../image/reference.ts';
import { createPolicy } from '../sign/policy/policy.ts';
import type { PolicySubject } from '../sign/policy/subject.ts';
import { formatSigstoreKey } from '../sign/sigstore/public-key.ts';
import { createSigstoreSigner } from '../sign/sigstore/signer.ts';
import { signManifest } from '../sign/simple/signer.ts';

const NAME = 'registry.example.com/team/app:1';
const MANIFEST = Buffer.from(
  JSON.stringify({ schemaVersion: 2, layers: Array(40).fill({ digest: 'x'.repeat(71) }) }),
);
const common = { creator: 'bench', now: () => Date.now() };

/** Checks in a second for `signedBy` and `sigstoreSigned`. */
export async function measureChecks(
  count: number,
): Promise<{ readonly simple: number; readonly sigstore: number }> {
  return {
    simple: await rate(await openPgpCase(), count),
    sigstore: await rate(await sigstoreCase(), count),
  };
}

interface Case {
  readonly requirement: object;
  readonly signature: Awaited<ReturnType<PolicySubject['signatures']>>[number];
}

async function openPgpCase(): Promise<Case> {
  const openpgp = await import('openpgp');
  const pair = await openpgp.generateKey({
    type: 'ecc',
    curve: 'ed25519Legacy',
    userIDs: [{ name: 'bench' }],
  });
  const key = { from: 'file', keyFile: Buffer.from(pair.privateKey) } as const;
  const bytes = await signManifest(MANIFEST, NAME, { ...common, key });
  const keyData = Buffer.from(pair.publicKey).toString('base64');
  return {
    requirement: { type: 'signedBy', keyType: 'GPGKeys', keyData },
    signature: { kind: 'simple', bytes },
  };
}

async function sigstoreCase(): Promise<Case> {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const signer = createSigstoreSigner({ ...common, identity: async () => ({ privateKey }) });
  const keyData = Buffer.from(formatSigstoreKey(publicKey)).toString('base64');
  return {
    requirement: { type: 'sigstoreSigned', keyData },
    signature: await signer.sign(MANIFEST, parseReference(NAME)),
  };
}

async function rate({ requirement, signature }: Case, count: number): Promise<number> {
  // Signatures are dated in whole seconds: a check within the same second must not see the future.
  const policy = createPolicy(parsePolicy(JSON.stringify({ default: [requirement] })), {
    now: () => Date.now() + 1000,
  });
  const image: PolicySubject = {
    reference: {
      transport: 'docker',
      within: `//${NAME}`,
      named: parseReference(NAME),
      policyIdentity: NAME,
      policyNamespaces: [
        'registry.example.com/team/app',
        'registry.example.com/team',
        'registry.example.com',
      ],
    },
    manifest: { bytes: MANIFEST },
    signatures: async () => [signature],
  };
  await policy.admit(image);
  const started = process.cpuUsage();
  for (let check = 0; check < count; check += 1) await policy.admit(image);
  const { user, system } = process.cpuUsage(started);
  return count / ((user + system) / 1e6);
}

if (import.meta.main) {
  const { simple, sigstore } = await measureChecks(Number(process.argv[2] ?? 3000));
  console.log(
    `signature checks a second and core: signedBy ${simple.toFixed(0)}, sigstoreSigned ${sigstore.toFixed(0)} (goal 1000)`,
  );
}
