import { addToContainer } from '../../../build/add/add.ts';
import { formatSummary } from '../../../build/add/content-digest.ts';
import type { AddOptions } from '../../../build/add/contract.ts';
import { saveContainer } from '../../../build/container/state.ts';
import { BuildError } from '../../../build/error.ts';
import { readIgnoreFile } from '../../../build/exec/ignore-file.ts';
import { SlipwayError } from '../../../errors.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../cli/contract.ts';
import { refuseLateFlags, usage } from './arguments.ts';
import { BLOB_CACHE_FLAG } from './blob-cache-flag.ts';
import { findContainer } from './containers-in-store.ts';
import { openFrom } from './copy-source.ts';
import { ADD_HISTORY_FLAG, withHistory } from './history.ts';
import { REGISTRY_FLAGS, RETRY_FLAGS, retryDelay } from './registry-flags.ts';
import { openSession } from './session.ts';

const FLAGS: readonly FlagSpec[] = [
  ADD_HISTORY_FLAG,
  ...REGISTRY_FLAGS.map((flag) =>
    ['authfile', 'creds'].includes(flag.name) ? { ...flag, hidden: true } : flag,
  ),
  ...RETRY_FLAGS,
  { name: 'allow-empty-wildcard', kind: 'bool', usage: 'accept patterns that match nothing' },
  { name: 'allow-wildcard', kind: 'bool', default: true, usage: 'treat *, ? and [ in sources as patterns' },
  BLOB_CACHE_FLAG,
  { name: 'checksum', kind: 'string', usage: 'digest that a download must have' },
  { name: 'chmod', kind: 'string', usage: 'permissions of what is added, such as 0755 or u=rwX,go=rX' },
  { name: 'chown', kind: 'string', usage: 'owner of what is added, `USER[:GROUP]`' },
  { name: 'contextdir', kind: 'string', usage: 'directory that sources are below' },
  { name: 'decryption-key', kind: 'slice', usage: 'key to decrypt pulled layers with', hidden: true },
  { name: 'exclude', kind: 'slice', usage: 'leave out what matches this pattern' },
  { name: 'from', kind: 'string', usage: 'take sources from the root of this container or image' },
  { name: 'ignorefile', kind: 'string', usage: 'file with patterns to leave out; needs --contextdir' },
  { name: 'link', kind: 'bool', usage: 'make a layer of its own, independent of what is below' },
  { name: 'no-follow-symlinks', kind: 'bool', usage: 'add sources that are links as links' },
  { name: 'quiet', short: 'q', kind: 'bool', usage: 'do not print the digest of what was added' },
  { name: 'remove-signatures', kind: 'bool', usage: 'drop the signatures of a pulled image', hidden: true },
  {
    name: 'timestamp',
    kind: 'string',
    usage: 'modification time of what is added, `SECONDS` since the epoch',
  },
];

const COPY_FLAGS: readonly FlagSpec[] = [
  ...FLAGS,
  { name: 'parents', kind: 'bool', usage: 'keep the directories that the sources are in' },
];

export const add: CommandSpec = {
  name: 'add',
  summary: 'Add content to a working container',
  description: 'Local archives are unpacked, URLs downloaded and git repositories cloned.',
  usage: '[flags] CONTAINER SOURCE... [DESTINATION]',
  examples: ['buildah add work app.tar.gz /opt', 'buildah add work https://example.com/tool /usr/bin/tool'],
  flags: FLAGS,
  args: { min: 1 },
  interspersed: false,
  run: (context) => runAdd(context, 'ADD'),
};

export const copy: CommandSpec = {
  name: 'copy',
  summary: 'Copy content into a working container',
  usage: '[flags] CONTAINER SOURCE... [DESTINATION]',
  examples: [
    'buildah copy work app.conf /etc/app/',
    'buildah copy --from builder work /out/app /usr/bin/app',
  ],
  flags: COPY_FLAGS,
  args: { min: 1 },
  interspersed: false,
  run: (context) => runAdd(context, 'COPY'),
};

async function runAdd(context: CommandContext, verb: 'ADD' | 'COPY'): Promise<void> {
  const { flags, args } = context;
  const [name = '', ...rest] = args;
  if (rest.length === 0) throw usage('src must be specified');
  refuseLateFlags(rest);
  const destination = rest.length > 1 ? (rest.at(-1) as string) : '';
  const sources = rest.length > 1 ? rest.slice(0, -1) : rest;
  if (flags.string('ignorefile') && !flags.string('contextdir'))
    throw usage('--ignorefile option requires that you specify a context dir using --contextdir');
  await using session = await openSession(context, {
    flags: verb === 'COPY' ? COPY_FLAGS : FLAGS,
    quiet: flags.bool('quiet'),
  });
  await using from = await openFrom(context, session, flags.string('from'));
  const container = await findContainer(session, name);
  const options = addOptions(context, verb, from?.rootfs);
  const given = from ? sources.map((source) => source.replace(/^\/+/, '') || '.') : sources;
  const result = await addToContainer(session.surroundings, container, destination, given, {
    ...options,
    ...(from ? { sourceIdMappings: from.idMappings, preserveOwnership: true } : {}),
  }).catch((cause: unknown) => {
    throw wrapped(cause, container.name);
  });
  if (result.summary.hex === '') return;
  if (!flags.bool('quiet')) context.print(result.summary.hex);
  const createdBy = `/bin/sh -c #(nop) ${verb} ${formatSummary(result.summary)}`;
  const after = withHistory(context, result.container, createdBy);
  if (after !== container) await saveContainer(session.store, after);
}

function wrapped(cause: unknown, name: string): unknown {
  if (!(cause instanceof SlipwayError)) return cause;
  const code = cause instanceof BuildError ? cause.code : 'bad-argument';
  return new BuildError(code, `adding content to container "${name}": ${cause.message}`, {
    cause,
    hint: cause.hint,
  });
}

function addOptions(
  { flags, io }: CommandContext,
  verb: 'ADD' | 'COPY',
  fromRoot: string | undefined,
): AddOptions {
  const given = flags.string('contextdir');
  const contextDirectory =
    fromRoot !== undefined
      ? given
        ? `${fromRoot}/${given}`
        : fromRoot
      : given
        ? given.startsWith('/')
          ? given
          : `${io.workingDirectory}/${given}`
        : undefined;
  const ignore =
    given && contextDirectory
      ? readIgnoreFile(contextDirectory, { explicit: flags.string('ignorefile') || undefined })
      : { patterns: [] as readonly string[], path: undefined };
  return {
    extract: verb === 'ADD',
    contextDirectory,
    chown: flags.string('chown') || undefined,
    chmod: flags.string('chmod') || undefined,
    checksum: flags.string('checksum') || undefined,
    excludes: [...ignore.patterns, ...flags.list('exclude')],
    ignoreFile: ignore.path,
    parents: verb === 'COPY' && flags.bool('parents'),
    link: flags.bool('link'),
    timestampSeconds: timestampOf(flags.string('timestamp')),
    allowWildcards: flags.bool('allow-wildcard'),
    allowEmptyWildcard: flags.bool('allow-empty-wildcard'),
    followSymlinks: !flags.bool('no-follow-symlinks'),
    certificateDirectory: flags.string('cert-dir') || undefined,
    tlsVerify: flags.optionalBool('tls-verify'),
    retries: flags.number('retry'),
    retryDelayMs: retryDelay({ flags }),
  };
}

function timestampOf(text: string): number | undefined {
  if (text === '') return undefined;
  if (!/^-?\d+$/.test(text))
    throw usage(`parsing timestamp value "${text}": strconv.ParseInt: parsing "${text}": invalid syntax`);
  return Number(text);
}
