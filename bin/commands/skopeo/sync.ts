import { open, readFile, writeFile } from 'node:fs/promises';
import { isAbsolute, relative, resolve } from 'node:path';
import { systemErrorText } from '../../../errors.ts';
import { parseReference } from '../../../image/reference.ts';
import type { TransportContext } from '../../../transport/contract.ts';
import type { CopyOptions } from '../../../transport/copy-options.ts';
import { formatImageReference } from '../../../transport/references.ts';
import type {
  SyncGroup,
  SyncItem,
  SyncOutcome,
  SyncPlan,
  SyncResult,
  SyncTarget,
} from '../../../transport/sync.ts';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';
import { imageSigners, signingChoice } from '../../cli/image-signers.ts';
import { logLine } from '../../cli/log-line.ts';
import { createProgress, type ImageProgress } from '../../cli/progress.ts';
import { registryFlags } from '../../cli/registry-access.ts';
import { cachePath, transportContext } from '../../cli/transport-context.ts';
import {
  progressStream,
  readProgress,
  readReferrers,
  SHARED_COPY_FLAGS,
  sharedCopyOptions,
} from './copy-flags.ts';
import {
  aliasedFlags,
  commandSignal,
  openPolicy,
  prefixed,
  RETRY_FLAGS,
  retryOptions,
} from './surroundings.ts';

/** `skopeo sync`. */
export const sync: CommandSpec = {
  name: 'sync',
  summary: 'Synchronize images from one place to another',
  description:
    'Copies all the images of a repository, a directory or a YAML file.\n\nSources (--src): docker, dir, yaml.\nDestinations (--dest): docker, dir.',
  usage: '[command options] --src TRANSPORT --dest TRANSPORT SOURCE DESTINATION',
  examples: [
    'skopeo sync --src docker --dest dir --scoped registry.example.com/busybox /media/usb',
    'skopeo sync --src yaml --dest docker --plan mirror.json images.yml mirror.example.com',
  ],
  args: { max: 2, message: 'Exactly two arguments expected' },
  flags: [
    ...SHARED_COPY_FLAGS,
    ...registryFlags('src-'),
    ...registryFlags('dest-'),
    ...RETRY_FLAGS,
    { name: 'screds', kind: 'string', usage: 'as --src-creds', hidden: true },
    { name: 'dcreds', kind: 'string', usage: 'as --dest-creds', hidden: true },
    { name: 'src', short: 's', kind: 'string', usage: 'kind of `SOURCE`: docker, dir or yaml' },
    { name: 'dest', short: 'd', kind: 'string', usage: 'kind of `DESTINATION`: docker or dir' },
    { name: 'scoped', kind: 'bool', usage: 'keep the whole source name below the destination' },
    { name: 'append-suffix', kind: 'string', usage: 'append `TEXT` to the tags at the destination' },
    { name: 'digestfile', kind: 'string', usage: 'write digests and names of the copied images to `FILE`' },
    { name: 'all', short: 'a', kind: 'bool', usage: 'copy all images of indexes' },
    { name: 'dry-run', kind: 'bool', usage: 'say what would be copied, and write nothing' },
    { name: 'keep-going', kind: 'bool', usage: 'go on after images that fail' },
    {
      name: 'plan',
      kind: 'string',
      usage: 'write what would be done to `FILE` as JSON (-: stdout), and do nothing',
    },
    { name: 'apply', kind: 'string', usage: 'do what the plan in `FILE` says' },
    { name: 'shard', kind: 'string', usage: 'do only part `I/N` of the work, such as 1/4' },
    { name: 'parallel-images', kind: 'uint', default: 6, usage: 'copy this many images at once' },
  ],
  run: runSync,
};

async function runSync(context: CommandContext): Promise<void> {
  const { flags } = context;
  const signal = commandSignal(context);
  const policy = await openPolicy(context);
  const source = transportContext(aliasedFlags(context, 'screds', 'src-creds'), {
    prefix: 'src-',
    signal,
    journal: true,
  });
  const destination = transportContext(aliasedFlags(context, 'dcreds', 'dest-creds'), {
    prefix: 'dest-',
    signal,
    journal: true,
  });
  const plan = await shard(context, await makePlan(context, source, destination, signal));
  if (flags.changed('plan')) return writePlan(context, plan);
  if (flags.bool('dry-run')) return describe(context, plan);
  await execute(context, policy, plan, destination, signal);
}

async function makePlan(
  context: CommandContext,
  source: TransportContext,
  destination: TransportContext,
  signal: AbortSignal,
): Promise<SyncPlan> {
  const { flags, io } = context;
  const apply = flags.string('apply');
  if (apply !== '') {
    if (context.args.length > 0)
      throw new UsageError('usage', '--apply takes everything from the plan: give no SOURCE and DESTINATION');
    const { readPlan } = await import('../../../transport/sync-apply.ts');
    return readPlan(await readFile(resolve(io.workingDirectory, apply)), source, io.workingDirectory);
  }
  const target = readTarget(context, destination);
  const groups = await findSources(context, source, signal);
  const { planSync } = await import('../../../transport/sync.ts');
  return planSync(groups, target, signal);
}

function readTarget(context: CommandContext, destination: TransportContext): SyncTarget {
  const { flags, args, io } = context;
  if (args.length !== 2) throw new UsageError('usage', 'Exactly two arguments expected');
  const from = flags.string('src');
  const to = flags.string('dest');
  if (from === '') throw new UsageError('usage', 'A source transport must be specified');
  if (!['docker', 'dir', 'yaml'].includes(from))
    throw new UsageError('usage', `${JSON.stringify(from)} is not a valid source transport`);
  if (to === '') throw new UsageError('usage', 'A destination transport must be specified');
  if (to !== 'docker' && to !== 'dir')
    throw new UsageError('usage', `${JSON.stringify(to)} is not a valid destination transport`);
  if (from === 'dir' && to === 'dir')
    throw new UsageError('usage', "sync from 'dir' to 'dir' not implemented, consider using rsync instead");
  const base = args[1] as string;
  return {
    transport: to,
    base: to === 'dir' ? resolve(io.workingDirectory, base) : base,
    context: destination,
    scoped: flags.bool('scoped'),
    appendSuffix: flags.string('append-suffix'),
    all: flags.bool('all'),
  };
}

async function findSources(
  context: CommandContext,
  source: TransportContext,
  signal: AbortSignal,
): Promise<readonly SyncGroup[]> {
  const { flags, args, io } = context;
  const library = await import('../../../transport/sync.ts');
  const name = args[0] as string;
  const { withRetries } = await import('../../../transport/retry.ts');
  const list = async (): Promise<readonly SyncGroup[]> => {
    const kind = flags.string('src');
    if (kind === 'docker') return [await library.registrySources(parseReference(name), source)];
    const path = resolve(io.workingDirectory, name);
    if (kind === 'dir') return [await library.directorySources(path, source)];
    const text = await readFile(path, 'utf8');
    const registries = await library.parseSyncConfig(text, name, source.platform);
    return (await Promise.all(registries.map((entry) => library.configuredSources(entry, source)))).flat();
  };
  return withRetries('sync', list, retryOptions(context, signal));
}

async function shard({ flags }: CommandContext, plan: SyncPlan): Promise<SyncPlan> {
  const text = flags.string('shard');
  if (text === '') return plan;
  const [, index = '', count = ''] = /^(\d{1,6})\/(\d{1,6})$/.exec(text) ?? [];
  const [i, n] = [Number(index), Number(count)];
  if (i < 1 || i > n)
    throw new UsageError('usage', `invalid shard ${JSON.stringify(text)}: it looks like 1/4`);
  const { shardPlan } = await import('../../../transport/sync.ts');
  return shardPlan(plan, i, n);
}

async function writePlan(context: CommandContext, plan: SyncPlan): Promise<void> {
  const { planToJson } = await import('../../../transport/sync.ts');
  const file = context.flags.string('plan');
  const text = `${JSON.stringify(planToJson(plan), undefined, 2)}\n`;
  if (file === '-') context.io.stdout.write(text);
  else await writeFile(resolve(context.io.workingDirectory, file), text);
  failIfAny(context, plan.failures);
}

async function describe(context: CommandContext, plan: SyncPlan): Promise<void> {
  logLine(context, 'warning', 'Running in dry-run mode');
  const work = plan.items.filter(({ action }) => action !== 'unchanged');
  for (const [at, item] of work.entries())
    logLine(context, 'info', `Would have copied image ref ${at + 1}/${work.length}`, names(context, item));
  for (const name of plan.prunes)
    logLine(context, 'info', 'Would have removed a tag', { tag: `${name.domain}/${name.path}:${name.tag}` });
  logLine(
    context,
    'info',
    `Would have synced ${plan.items.length} images, ${plan.items.length - work.length} of them unchanged`,
  );
  failIfAny(context, plan.failures);
}

/** Of one image; directories as the command line has them. */
function names({ io, args }: CommandContext, { source, destination }: SyncItem): Record<string, string> {
  const isHere = args[1] !== undefined && !isAbsolute(args[1]);
  const path =
    destination.transport === 'dir' && isHere
      ? relative(io.workingDirectory, destination.within)
      : destination.within;
  return { from: formatImageReference(source.reference), to: `${destination.transport}:${path}` };
}

async function execute(
  context: CommandContext,
  policy: Parameters<typeof import('../../../transport/sync.ts').syncImages>[0],
  plan: SyncPlan,
  destination: TransportContext,
  signal: AbortSignal,
): Promise<void> {
  const { flags, io } = context;
  const { syncImages } = await import('../../../transport/sync.ts');
  const signers = await imageSigners(context, signingChoice(flags));
  const file = flags.string('digestfile');
  await using digests =
    file === ''
      ? undefined
      : await open(resolve(io.workingDirectory, file), 'w', 0o644).catch(
          prefixed('Error creating digest file'),
        );
  const mode = readProgress(context);
  const progress = await createProgress({
    mode,
    stream: progressStream(context, mode),
    warnings: io.stderr,
  });
  const told = { ...context, io: { ...io, stderr: progress.above(io.stderr) } };
  const images = new Map<SyncItem, ImageProgress>();
  const work = plan.items.filter(({ action }) => action !== 'unchanged').length;
  let started = 0;
  let failed = plan.failures[0]?.title;
  const keepGoing = flags.bool('keep-going');
  const result = await syncImages(policy, plan, {
    copy: await copyOptions(context, signers),
    destination,
    parallelImages: flags.number('parallel-images'),
    keepGoing,
    retry: retryOptions(context, signal),
    signal,
    onImage: (item) => {
      started += 1;
      logLine(told, 'info', `Copying image ref ${started}/${work}`, names(context, item));
      const image = progress.image(formatImageReference(item.destination));
      images.set(item, image);
      return image.onProgress;
    },
    onDone: (item, outcome) => {
      images.get(item)?.end();
      if (outcome.kind === 'failed') failed ??= names(context, item).from;
      if (keepGoing) report(told, item, outcome);
      if (outcome.kind === 'copied' && digests)
        void digests.write(`${outcome.result.digest} ${names(context, item).to}\n`);
    },
  })
    .catch((error: unknown) =>
      prefixed(failed === undefined ? 'Error copying images' : `Error copying ref ${JSON.stringify(failed)}`)(
        error,
      ),
    )
    .finally(() => progress.close());
  logLine(
    context,
    'info',
    `Synced ${result.copied + result.unchanged} images from ${new Set(plan.items.map(({ source }) => source.reference.named?.path ?? '')).size} sources`,
    counts(result),
  );
  failIfAny(context, result.failures);
}

function counts({ copied, unchanged, pruned, referrers }: SyncResult): Record<string, string> {
  const { copied: went, present, unsupported } = referrers ?? {};
  const all = {
    copied,
    unchanged,
    pruned,
    referrers: went,
    'referrers-there': present,
    'referrers-unsupported': unsupported,
  };
  return Object.fromEntries(
    Object.entries(all).flatMap(([key, value]) => (value === undefined ? [] : [[key, String(value)]])),
  );
}

async function copyOptions(
  context: CommandContext,
  signers: CopyOptions['signers'],
): Promise<Omit<CopyOptions, 'source' | 'destination'>> {
  const { openBlobCache } = await import('../../../transport/blob-cache.ts');
  return {
    ...sharedCopyOptions(context),
    ...readReferrers(context),
    select: context.flags.bool('all') ? 'all' : 'system',
    ...(signers?.length ? { signers } : {}),
    blobCache: await openBlobCache(cachePath(context.io, 'blobs.json')),
  };
}

function report(context: CommandContext, item: SyncItem, outcome: SyncOutcome): void {
  if (outcome.kind !== 'failed') return;
  const { error } = outcome;
  const message = error instanceof Error ? systemErrorText(error) : String(error);
  logLine(context, 'error', `Error copying ref ${JSON.stringify(names(context, item).from)}`, {
    error: message,
  });
}

/** Failures that were gone past are still failures. */
function failIfAny(context: CommandContext, failures: SyncPlan['failures']): void {
  if (failures.length === 0) return;
  for (const { title, error } of failures)
    logLine(context, 'error', `Failed: ${title}`, {
      error: error instanceof Error ? error.message : String(error),
    });
  throw new UsageError(
    'usage',
    `Sync failed due to previous reported error(s) for one or more images (${failures.length}: ${failures.map(({ title }) => title).join(', ')})`,
  );
}
