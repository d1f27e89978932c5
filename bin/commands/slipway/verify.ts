import type { PolicyRequirement } from '../../../config/policy-types.ts';
import { SlipwayError } from '../../../errors.ts';
import type { Digest } from '../../../image/digest.ts';
import type { KnownKeys, SignatureVerdict } from '../../../sign/found.ts';
import type { SignatureCandidate, SignatureSearch } from '../../../transport/find-signatures.ts';
import { formatImageReference } from '../../../transport/references.ts';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { imagePolicy, POLICY_FLAGS, policyFlags } from '../../cli/image-policy.ts';
import { parseAnyReference } from '../../cli/image-reference.ts';
import { registryFlags } from '../../cli/registry-access.ts';
import { REGISTRIES_D_FLAG } from '../../cli/signature-places.ts';
import { renderTable } from '../../cli/table.ts';
import { transportContext } from '../../cli/transport-context.ts';
import { givenTrust, knownKeys, TRUST_FLAGS } from './known-keys.ts';

/** `slipway verify`. */
export const verify: CommandSpec = {
  name: 'verify',
  summary: 'Show every signature of an image: by whom, over what, valid or not, and who can see it',
  description:
    'Looks for simple signatures, Cosign attachments, sigstore bundles and Notation signatures, and checks them with ' +
    'the keys of --key, else with those that policy.json names for the image and the local GnuPG keys. Succeeds ' +
    'when at least one signature is valid and the policy accepts the image.',
  usage: '[flags] REFERENCE',
  examples: [
    'slipway verify docker://registry.example.com/app:1',
    'slipway verify --key cosign.pub --json registry.example.com/app:1',
    'slipway verify --trusted-root trusted_root.json --certificate-identity me@example.com --certificate-oidc-issuer https://accounts.example.com registry.example.com/app:1',
  ],
  args: { min: 1, max: 1 },
  flags: [
    ...registryFlags(),
    REGISTRIES_D_FLAG,
    ...POLICY_FLAGS,
    ...TRUST_FLAGS,
    { name: 'all', kind: 'bool', usage: 'look at every image of an index, not only this machine’s' },
    { name: 'json', kind: 'bool', usage: 'print JSON' },
  ],
  run: async (context) => {
    const { findSignatures } = await import('../../../transport/find-signatures.ts');
    const { judgeSignature } = await import('../../../sign/found.ts');
    const surroundings = transportContext(context);
    const reference = await parseAnyReference(context.args[0] as string, context.io.workingDirectory);
    const trust = await trustOf(context, reference);
    await using source = await reference.openSource(surroundings);
    const search = await findSignatures(source, surroundings, { all: context.flags.bool('all') });
    const rows = search.candidates.map((candidate) => ({
      candidate,
      verdict: judgeSignature(candidate.content, candidate.subject, trust.known, Date.now()),
    }));
    const refusal = await askPolicy(context, source, search);
    const report = { reference: formatImageReference(reference), search, rows, ...(refusal && { refusal }) };
    print(context, report);
    return refusal === undefined && rows.some(({ verdict }) => verdict.valid === true) ? 0 : 1;
  },
};

type OpenSource = Awaited<ReturnType<Awaited<ReturnType<typeof parseAnyReference>>['openSource']>>;

async function trustOf(
  context: CommandContext,
  reference: OpenSource['reference'],
): Promise<{ readonly known: KnownKeys }> {
  const given = givenTrust(context);
  return { known: await knownKeys(given, given.isGiven ? [] : await policyRequirements(context, reference)) };
}

async function policyRequirements(
  { flags, io }: CommandContext,
  reference: OpenSource['reference'],
): Promise<readonly PolicyRequirement[]> {
  const [{ readPolicy }, { selectRequirements }] = await Promise.all([
    import('../../../config/policy.ts'),
    import('../../../sign/policy/policy.ts'),
  ]);
  const home = io.environment.HOME;
  const policy = await readPolicy({ path: flags.string('policy'), ...(home && { home }) });
  return selectRequirements(policy, reference).requirements;
}

/** Why the policy refuses the image that a copy would take; undefined when it does not. */
async function askPolicy(
  context: CommandContext,
  source: OpenSource,
  { subjects }: SignatureSearch,
): Promise<string | undefined> {
  const policy = await imagePolicy(context, policyFlags(context.flags));
  // Of an index a copy takes the image for this machine.
  const instance = subjects[1]?.digest;
  const manifest = await source.getManifest(instance);
  try {
    await policy.admit({
      reference: source.reference,
      manifest,
      signatures: () => source.getSignatures(instance),
    });
    return undefined;
  } catch (error) {
    if (!(error instanceof SlipwayError)) throw error;
    return error.message.replace(/^Source image rejected: /, '');
  }
}

interface Report {
  readonly reference: string;
  readonly search: SignatureSearch;
  readonly rows: readonly { readonly candidate: SignatureCandidate; readonly verdict: SignatureVerdict }[];
  readonly refusal?: string;
}

/** Who can see each form; `*` only where registries.d says use-sigstore-attachments. */
const CONSUMERS: Readonly<
  Record<SignatureCandidate['form'], { podman: string; cosign: string; referrers: string }>
> = {
  simple: { podman: 'yes', cosign: 'no', referrers: 'no' },
  'cosign-tag': { podman: 'yes*', cosign: 'yes', referrers: 'no' },
  bundle: { podman: 'no', cosign: '3+', referrers: 'yes' },
  notation: { podman: 'no', cosign: 'no', referrers: 'yes' },
};

function print(context: CommandContext, report: Report): void {
  if (context.flags.bool('json')) context.print(JSON.stringify(toJson(report), null, 2));
  else for (const line of toLines(report)) context.print(line);
}

function toJson({ reference, search, rows, refusal }: Report) {
  return {
    reference,
    subjects: search.subjects.map(({ digest, what }) => ({ digest, what })),
    signatures: rows.map(({ candidate, verdict }) => ({
      form: candidate.form,
      digest: candidate.subject,
      ...verdict,
      valid: verdict.valid ?? null,
      consumers: CONSUMERS[candidate.form],
    })),
    policy: refusal === undefined ? { accepts: true } : { accepts: false, reason: refusal },
  };
}

function toLines({ reference, search, rows, refusal }: Report): string[] {
  const header = ['FORM', 'DIGEST', 'SIGNED BY', 'FOR', 'PODMAN/SKOPEO', 'COSIGN', 'REFERRERS', 'RESULT'];
  const table = rows.map(({ candidate, verdict }) => {
    const { podman, cosign, referrers } = CONSUMERS[candidate.form];
    return [
      candidate.form,
      short(candidate.subject),
      verdict.by ?? '-',
      verdict.identity ?? '-',
      podman,
      cosign,
      referrers,
      verdict.valid === undefined
        ? `- (${verdict.reason})`
        : verdict.valid
          ? 'valid'
          : `bad: ${verdict.reason}`,
    ].map(plain);
  });
  return [
    reference,
    ...search.subjects.map(({ digest, what }) => `${what} ${digest}`),
    '',
    ...(rows.length > 0
      ? renderTable([header, ...table], 2)
          .trimEnd()
          .split('\n')
      : ['no signatures found']),
    ...(rows.some(({ candidate }) => candidate.form === 'cosign-tag')
      ? ['* where registries.d says use-sigstore-attachments: true']
      : []),
    '',
    refusal === undefined
      ? 'policy.json: accepts the image'
      : `policy.json: refuses the image: ${plain(refusal)}`,
  ];
}

function short(digest: Digest): string {
  return digest.slice(0, digest.indexOf(':') + 13);
}

/** Names in signatures are other people's text. */
function plain(text: string): string {
  return [...text]
    .map((char) => (char < ' ' || (char >= '\u007f' && char <= '\u009f') ? '?' : char))
    .join('');
}
