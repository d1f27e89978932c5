import { writeFileSync } from 'node:fs';
import type { PullPolicy } from '../../../build/container/contract.ts';
import { createContainer } from '../../../build/container/create.ts';
import { saveContainer } from '../../../build/container/state.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../cli/contract.ts';
import { onNamedFile } from '../../cli/error.ts';
import { refuseLateFlags, usage } from './arguments.ts';
import { BLOB_CACHE_FLAG, blobDirectoryOf } from './blob-cache-flag.ts';
import { CONTAINER_FLAGS, containerOptions } from './container-flags.ts';
import { retryDefaults } from './containers-conf.ts';
import { decryptionKeys } from './encryption-flags.ts';
import { runOnBuild } from './on-build.ts';
import { REGISTRY_FLAGS, RETRY_FLAGS, retryDelay } from './registry-flags.ts';
import { openSession } from './session.ts';

const FLAGS: readonly FlagSpec[] = [
  ...REGISTRY_FLAGS,
  ...RETRY_FLAGS,
  ...CONTAINER_FLAGS,
  { name: 'cidfile', kind: 'string', usage: "write the container's id to this file" },
  { name: 'format', short: 'f', kind: 'string', usage: 'image format that a commit uses: oci or docker' },
  { name: 'name', kind: 'string', usage: 'name of the working container' },
  {
    name: 'pull',
    kind: 'string',
    default: 'missing',
    impliedValue: 'always',
    usage: 'when to pull: `missing`, always, never or newer',
  },
  { name: 'pull-always', kind: 'bool', usage: 'pull even when the image is here', hidden: true },
  { name: 'pull-never', kind: 'bool', usage: 'never pull', hidden: true },
  { name: 'quiet', short: 'q', kind: 'bool', usage: 'print no progress' },
  { name: 'suffix', kind: 'string', usage: 'suffix of generated names', hidden: true },
  BLOB_CACHE_FLAG,
];

export const from: CommandSpec = {
  name: 'from',
  summary: 'Create a working container from an image or from scratch',
  usage: '[flags] IMAGE',
  examples: [
    'buildah from alpine',
    'buildah from --name work scratch',
    'buildah from docker-archive:image.tar',
  ],
  flags: FLAGS,
  configuredDefaults: retryDefaults,
  interspersed: false,
  run: runFrom,
};

async function runFrom(context: CommandContext): Promise<void> {
  const { flags, args } = context;
  const [image] = args;
  if (image === undefined) throw usage('an image name (or "scratch") must be specified');
  refuseLateFlags(args);
  if (args.length > 1) throw usage('too many arguments specified');
  const pullPolicy = pullPolicyOf(context);
  const quiet = flags.bool('quiet');
  await using session = await openSession(context, { flags: FLAGS, quiet });
  const options = await containerOptions(context, session);
  const container = await createContainer(session.surroundings, {
    ...options,
    from: image,
    pullPolicy,
    customPlatform: session.customPlatform,
    hostPlatform: session.hostPlatform,
    name: flags.string('name') || undefined,
    suffix: flags.string('suffix') || undefined,
    format: formatOf(context),
    retries: flags.number('retry'),
    retryDelayMs: retryDelay(context),
    blobCacheDirectory: blobDirectoryOf(context),
    decryptionKeys: await decryptionKeys(context),
    onStatus: quiet ? undefined : context.note,
    onOtherPlatform: quiet ? session.warn : (text: string) => context.note(`WARNING: ${text}`),
  });
  const ready = await runOnBuild(context, session, container, quiet);
  if (ready !== container) await saveContainer(session.store, ready);
  writeId(flags.string('cidfile'), container.id);
  context.print(container.name);
}

function writeId(file: string, id: string): void {
  const words = `failed to write container ID file ${JSON.stringify(file)}: `;
  if (file) onNamedFile(words, file, () => writeFileSync(file, id));
}

/** `--format` or BUILDAH_FORMAT. */
export function formatOf({ flags, io }: CommandContext): 'oci' | 'docker' {
  const text = flags.changed('format') ? flags.string('format') : io.environment.BUILDAH_FORMAT || 'oci';
  if (text !== 'oci' && text !== 'docker') throw usage(`unrecognized image type "${text}"`);
  return text;
}

/** `--pull` with its hidden companions. */
export function pullPolicyOf({ flags }: CommandContext): PullPolicy {
  const given = ['pull', 'pull-always', 'pull-never'].filter((name) => flags.changed(name));
  if (given.length > 1) throw usage("can only set one of 'pull' or 'pull-always' or 'pull-never'");
  if (flags.bool('pull-always')) return 'always';
  if (flags.bool('pull-never')) return 'never';
  return parsePullPolicy(flags.string('pull'));
}

const POLICIES: Readonly<Record<string, PullPolicy>> = {
  missing: 'missing',
  ifmissing: 'missing',
  notpresent: 'missing',
  true: 'always',
  always: 'always',
  false: 'never',
  never: 'never',
  ifnewer: 'ifnewer',
  newer: 'ifnewer',
};

export function parsePullPolicy(text: string): PullPolicy {
  const lower = text.toLowerCase();
  const policy = Object.hasOwn(POLICIES, lower) ? POLICIES[lower] : undefined;
  if (!policy) throw usage(`unrecognized pull policy "${text}"`);
  return policy;
}
