import type { PullPolicy } from '../../../build/container/contract.ts';
import { contextOf, pullImage } from '../../../build/container/pull.ts';
import { formatReference, parseReference, withSelector } from '../../../image/reference.ts';
import { parseImageReference } from '../../../transport/references.ts';
import { listTags } from '../../../transport/tags.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../cli/contract.ts';
import { oneArgument, usage } from './arguments.ts';
import { BLOB_CACHE_FLAG, blobDirectoryOf } from './blob-cache-flag.ts';
import { retryDefaults } from './containers-conf.ts';
import { DECRYPTION_FLAG, decryptionKeys } from './encryption-flags.ts';
import { namesTransport } from './image-name.ts';
import { PLATFORM_FLAGS } from './platform-flags.ts';
import { REGISTRY_FLAGS, RETRY_FLAGS, retryDelay } from './registry-flags.ts';
import { openSession, type Session } from './session.ts';

const FLAGS: readonly FlagSpec[] = [
  ...REGISTRY_FLAGS,
  ...RETRY_FLAGS,
  ...PLATFORM_FLAGS,
  DECRYPTION_FLAG,
  { name: 'all-tags', short: 'a', kind: 'bool', usage: 'pull every tag of the repository' },
  BLOB_CACHE_FLAG,
  {
    name: 'policy',
    kind: 'string',
    default: 'missing',
    usage: 'when to pull: `missing`, always, ifnewer or never',
  },
  { name: 'quiet', short: 'q', kind: 'bool', usage: 'print no progress' },
  { name: 'remove-signatures', kind: 'bool', usage: 'drop signatures' },
];

export const pull: CommandSpec = {
  name: 'pull',
  summary: 'Pull an image into local storage',
  usage: '[flags] IMAGE',
  examples: [
    'buildah pull alpine',
    'buildah pull --all-tags registry.example.com/app',
    'buildah pull oci:layout:1.0',
  ],
  flags: FLAGS,
  configuredDefaults: retryDefaults,
  interspersed: false,
  run: runPull,
};

const POLICIES: Readonly<Record<string, PullPolicy>> = {
  missing: 'missing',
  ifmissing: 'missing',
  notpresent: 'missing',
  always: 'always',
  never: 'never',
  ifnewer: 'ifnewer',
  newer: 'ifnewer',
};

async function runPull(context: CommandContext): Promise<void> {
  const { flags } = context;
  const name = oneArgument(context.args, 'an image name must be specified');
  const pullPolicy = pullPolicyOf(flags.string('policy'));
  const quiet = flags.bool('quiet');
  await using session = await openSession(context, { flags: FLAGS, quiet });
  const options = {
    pullPolicy,
    retries: flags.number('retry'),
    retryDelayMs: retryDelay(context),
    removeSignatures: flags.bool('remove-signatures'),
    decryptionKeys: await decryptionKeys(context),
    blobCacheDirectory: blobDirectoryOf(context),
    customPlatform: session.customPlatform,
    hostPlatform: session.hostPlatform,
    onStatus: quiet ? undefined : context.note,
    onOtherPlatform: quiet ? session.warn : (text: string) => context.note(`WARNING: ${text}`),
  };
  const names = flags.bool('all-tags') ? await everyTag(session, name) : [name];
  let id = '';
  for (const one of names) {
    const record = await pullImage(session.surroundings, one, options);
    id ||= record.id;
  }
  context.print(id);
}

/** @throws UsageError `usage` for an unknown word */
export function pullPolicyOf(text: string): PullPolicy {
  const policy = Object.hasOwn(POLICIES, text) ? POLICIES[text] : undefined;
  if (policy) return policy;
  throw usage(`unsupported pull policy "${text}"`);
}

/** The names of every tag of a repository. */
export async function everyTag(session: Session, name: string): Promise<string[]> {
  if (namesTransport(name) && !name.startsWith('docker://'))
    throw usage(`pulling all tags is not supported for ${name.slice(0, name.indexOf(':'))} transport`);
  const plain = name.replace(/^docker:\/\//, '');
  const repository = withSelector(parseReference(plain), {});
  const reference = await parseImageReference(
    `docker://${formatReference(repository)}`,
    session.surroundings,
  );
  const tags = await listTags(reference, contextOf(session.surroundings));
  return tags.map((tag) => formatReference(withSelector(repository, { tag })));
}
