import { join, posix } from 'node:path';
import { addToContainer, summarizeSources } from '../add/add.ts';
import { formatSummary } from '../add/content-digest.ts';
import type { AddOptions, AddSource } from '../add/contract.ts';
import { isGitSource, isRemoteSource } from '../add/remote.ts';
import type { BuildSurroundings, WorkingContainer } from '../container/contract.ts';
import { BuildError } from '../error.ts';
import type { ResolvedCopy } from '../plan/apply.ts';
import type { Stage } from '../plan/stages.ts';
import type { BuildSession } from './session.ts';
import { authorizationOf } from './source-secrets.ts';

export interface CopyOutcome {
  /** `file:<hex>`, `dir:<hex>`, `multi:<hex>`. */
  readonly summary: string;
  /** With a linked layer queued for `--link`. */
  readonly container: WorkingContainer;
}

/**
 * COPY and ADD: finds where the sources are (context, stage, image, additional context, heredoc) and adds them.
 * @throws BuildError
 */
export async function copyStep(
  session: BuildSession,
  stage: Stage,
  container: WorkingContainer,
  copy: ResolvedCopy,
  given: {
    readonly link: boolean;
    readonly linkHistorySuffix: string;
    readonly onContent?: AddOptions['onContent'];
    readonly reuse?: AddOptions['reuse'];
  },
): Promise<CopyOutcome> {
  const [sources, options] = await additionOf(session, stage, copy);
  const added = await addToContainer(stepSurroundings(session), container, copy.destination, sources, {
    ...options,
    ...given,
  });
  return { summary: formatSummary(added.summary), container: added.container };
}

/** The summary that {@link copyStep} would give; `container` is asked for only where `--chown` has a name to look up. */
export async function copySummary(
  session: BuildSession,
  stage: Stage,
  container: () => Promise<WorkingContainer>,
  copy: ResolvedCopy,
  onContent?: AddOptions['onContent'],
): Promise<string> {
  const [sources, options] = await additionOf(session, stage, copy);
  const given = { ...options, ...(onContent ? { onContent } : {}) };
  return formatSummary(await summarizeSources(stepSurroundings(session), container, sources, given));
}

/** What a killed build leaves of its downloads the next one takes away. */
function stepSurroundings({ surroundings, workspace }: BuildSession): BuildSurroundings {
  return { ...surroundings, temporaryDirectory: workspace.temporaryDirectory };
}

async function additionOf(
  session: BuildSession,
  stage: Stage,
  copy: ResolvedCopy,
): Promise<[readonly AddSource[], AddOptions]> {
  checkSources(copy);
  const { options, surroundings } = session;
  const base: AddOptions = {
    extract: copy.kind === 'add' && copy.unpack !== false,
    extractRemote: copy.unpack === true,
    chown: copy.chown,
    chmod: copy.chmod,
    checksum: copy.checksum,
    parents: copy.parents,
    staysInContext: true,
    latestSeconds: options.timestampSeconds ?? options.sourceDateEpochSeconds,
    retries: options.retries,
    retryDelayMs: options.retryDelayMs,
    certificateDirectory: surroundings.docker.certificateDirectory,
    tlsVerify: surroundings.docker.tlsVerify,
    keepGitDirectory: copy.keepGitDirectory,
    authorization: authorizationOf(options),
    sshPaths: options.ssh?.get('default')?.paths,
    ...(options.memoryDirectory === undefined
      ? {}
      : { downloadDirectory: join(options.memoryDirectory, 'downloads') }),
  };
  const files = copy.files.map(
    (file): AddSource => ({ name: posix.basename(file.name), data: Buffer.from(file.content) }),
  );
  const where =
    copy.sources.length > 0
      ? await sourceOptions(session, stage, copy)
      : { contextDirectory: session.contextDirectory, contextName: session.options.contextName };
  return [[...files, ...copy.sources.map(belowContext)], { ...base, ...where }];
}

/** An absolute source counts from the context's top, which an empty one means too. */
function belowContext(source: string): string {
  if (isRemoteSource(source) || isGitSource(source)) return source;
  return source.replace(/^\/+/, '') || '.';
}

function checkSources(copy: ResolvedCopy): void {
  if (copy.kind === 'copy' && copy.sources.some((source) => /^https?:\/\//i.test(source)))
    throw new BuildError('bad-argument', "source can't be a URL for COPY", { hint: 'ADD downloads' });
}

async function sourceOptions(
  session: BuildSession,
  stage: Stage,
  copy: ResolvedCopy,
): Promise<
  Pick<
    AddOptions,
    | 'contextDirectory'
    | 'contextName'
    | 'knownDigests'
    | 'excludes'
    | 'gitExcludes'
    | 'ignoreFile'
    | 'preserveOwnership'
    | 'sourceIdMappings'
    | 'stripSetuid'
    | 'stripSetgid'
  >
> {
  const own = excludesOf(copy);
  if (copy.from === undefined)
    return {
      contextDirectory: session.contextDirectory,
      contextName: session.options.contextName,
      excludes: [...session.ignore.patterns, ...own],
      gitExcludes: own,
      ignoreFile: session.ignore.path,
      knownDigests: session.digests(session.options.contextDirectory),
      stripSetuid: true,
      stripSetgid: true,
    };
  const from = await session.filesFrom(stage.index, copy.from);
  const context = from.kind === 'context' ? session.contexts.excludes(copy.from) : [];
  return {
    contextDirectory: from.directory,
    ...(from.kind === 'context' ? { knownDigests: session.digests(from.directory) } : {}),
    excludes: [...context, ...own],
    preserveOwnership: true,
    sourceIdMappings: from.idMappings,
  };
}

/** `--exclude` counts from the context's top and from each source. */
function excludesOf(copy: ResolvedCopy): string[] {
  if (copy.excludes.length === 0) return [];
  const below = copy.sources.flatMap((source) =>
    copy.excludes.map((pattern) => joinPattern(posix.normalize(source).replace(/^\/+|\/+$/g, ''), pattern)),
  );
  return [...copy.excludes, ...below];
}

function joinPattern(source: string, pattern: string): string {
  if (source === '.' || source === '') return pattern;
  if (!pattern.startsWith('!')) return posix.join(source, pattern);
  return pattern === '!' ? pattern : `!${posix.join(source, pattern.slice(1))}`;
}
