import { mkdtempSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { BuildSurroundings, WorkingContainer } from '../container/contract.ts';
import { withMount } from '../container/mount.ts';
import { BuildError } from '../error.ts';
import { type ContentSummary, formatSummary, summarize } from './content-digest.ts';
import type { AddOptions, AddResult, AddSource, CopyReuse } from './contract.ts';
import { chooseDestination, type Destination } from './destination.ts';
import { toHost } from './id-mapping.ts';
import type { KnownDigests } from './known-digests.ts';
import { splitAtPivot } from './local-source.ts';
import { lookUpOwner, numericOwner, type Owner } from './owner.ts';
import { ReusedFiles } from './reused-files.ts';
import { fromText, RootedDirectory, toText } from './rooted.ts';
import { findSource, type Source, SourceReader } from './source-reader.ts';
import type { OnEntry } from './tree-reader.ts';
import { type TreeEntry, TreeWriter, type TreeWriterOptions } from './tree-writer.ts';

/**
 * Adds files, directories, archives, downloads and git repositories to a working container, as Buildah's Add does.
 * The container's root file system is mounted for the time of the call.
 * @throws BuildError `missing-file`, `unsafe-path`, `bad-argument`, `bad-user`, `bad-option`
 */
export async function addToContainer(
  surroundings: BuildSurroundings,
  container: WorkingContainer,
  destination: string,
  list: readonly AddSource[],
  options: AddOptions = {},
): Promise<AddResult> {
  await using mount = new AsyncDisposableStack();
  const { rootfs } = mount.use(await withMount(surroundings.store, container));
  const root = mount.use(new RootedDirectory(rootfs));
  using context = new RootedDirectory(contextOf(options));
  await using held = new AsyncDisposableStack();
  const sources = await findSources(surroundings, context, list, options, held);
  if (sources.length === 0) return { summary: summarize([]), container };
  const owner = options.chown ? lookUpOwner(root, options.chown) : defaultOwner(options);
  const workingDirectory = container.ociConfig.config?.WorkingDir || '/';
  const place = chooseDestination(
    root,
    destination,
    workingDirectory,
    shapeOf(sources, list.length, options),
  );
  const writerOptions = {
    directoryOwner: toHost(container.idMappings, owner ?? { uid: 0, gid: 0 }),
    skipDevices: surroundings.store.rootless,
  };
  const direct = await directTarget(surroundings, container, options, { root, place, writerOptions });
  if (direct) {
    await mount.disposeAsync();
    await options.reuse?.unmount();
  }
  const staging = options.link ? await stagingDirectory(surroundings, container) : undefined;
  const directory = staging ?? direct?.directory;
  using ownRoot = directory === undefined ? undefined : new RootedDirectory(directory);
  using writer = new TreeWriter(ownRoot ?? root, place.directory, writerOptions);
  const rename = place.rename === undefined ? undefined : fromText(place.rename);
  const write: OnEntry = (entry, _sizeBytes, content) => {
    if (direct) refuseWhiteout(entry);
    const path = rename ?? entry.path;
    refuseWhiteoutName({ ...entry, path });
    writer.put({ ...entry, ...toHost(container.idMappings, entry), path }, content);
  };
  using reused = direct && new ReusedFiles(direct.previous, direct.known, writer);
  const reader = new SourceReader(surroundings, options, owner, write, reused);
  writer.makeBase();
  for (const source of sources) await reader.read(context, source);
  // An independent layer is the same whenever it is made.
  writer.finish(staging === undefined ? undefined : reader.newestNs);
  const summary = summarize(reader.digests());
  if (staging === undefined) return { summary, container };
  const layer = linkedLayer(container, destination, options, { summary, staging, newestNs: reader.newestNs });
  return { summary, container: { ...container, appendedLayers: [...container.appendedLayers, layer] } };
}

/**
 * The summary that {@link addToContainer} would give, without writing or mounting anything: it depends on the sources
 * alone. @param container asked for where `--chown` has a name that only its files know
 */
export async function summarizeSources(
  surroundings: BuildSurroundings,
  container: () => Promise<WorkingContainer>,
  list: readonly AddSource[],
  options: AddOptions = {},
): Promise<ContentSummary> {
  using context = new RootedDirectory(contextOf(options));
  await using held = new AsyncDisposableStack();
  const sources = await findSources(surroundings, context, list, options, held);
  const owner = options.chown
    ? (numericOwner(options.chown) ?? (await namedOwner(surroundings, await container(), options.chown)))
    : defaultOwner(options);
  const reader = new SourceReader(surroundings, options, owner, undefined);
  for (const source of sources) await reader.read(context, source);
  return summarize(reader.digests());
}

const contextOf = (options: AddOptions) => resolve(options.contextDirectory ?? '/');

const defaultOwner = (options: AddOptions): Owner | undefined =>
  options.preserveOwnership ? undefined : { uid: 0, gid: 0 };

async function namedOwner(
  { store }: BuildSurroundings,
  container: WorkingContainer,
  spec: string,
): Promise<Owner> {
  await using mounted = await withMount(store, container);
  using root = new RootedDirectory(mounted.rootfs);
  return lookUpOwner(root, spec);
}

/** Empty where patterns matched nothing and that is allowed. */
async function findSources(
  surroundings: BuildSurroundings,
  context: RootedDirectory,
  list: readonly AddSource[],
  options: AddOptions,
  held: AsyncDisposableStack,
): Promise<readonly Source[]> {
  const contextPath = contextOf(options);
  const sources: Source[] = [];
  for (const source of list)
    sources.push(await findSource(surroundings, context, contextPath, source, options, held));
  if (sources.some((source) => source.kind !== 'local' || source.source.matches.length > 0)) return sources;
  if (options.allowEmptyWildcard) return [];
  throw new BuildError(
    'missing-file',
    `checking on sources under "${options.contextName ?? contextPath}": globs [${list.map(String).join(' ')}] matched nothing: no such file or directory`,
  );
}

interface DirectTarget {
  /** Of the files of the container's own layer. */
  readonly directory: string;
  readonly previous: NonNullable<CopyReuse['previous']>;
  readonly known: KnownDigests;
}

/**
 * The container's own layer, where files may be put into it without the overlay above it: everything goes into one
 * directory that holds nothing, and some of it lies in an earlier layer already.
 */
async function directTarget(
  { store }: BuildSurroundings,
  container: WorkingContainer,
  { reuse, knownDigests: known }: AddOptions,
  at: {
    readonly root: RootedDirectory;
    readonly place: Destination;
    readonly writerOptions: TreeWriterOptions;
  },
): Promise<DirectTarget | undefined> {
  const { root, place, writerOptions } = at;
  if (!reuse || place.rename !== undefined) return undefined;
  reuse.onBase(place.directory);
  const { previous } = reuse;
  if (!known || previous?.base !== place.directory) return undefined;
  if ((await store.layers.mounted(container.layerId)) !== reuse.mounts + 1) return undefined;
  {
    using first = new TreeWriter(root, place.directory, writerOptions);
    first.makeBase();
  }
  if (!root.isEmptyDirectory(place.directory)) return undefined;
  const directory = await store.layers.diffDirectory(container.layerId);
  using own = new RootedDirectory(directory);
  return own.isEmptyDirectory(place.directory) ? { directory, previous, known } : undefined;
}

/** What the overlay refuses: such a device says there that a file is gone. */
function refuseWhiteout({ kind, path, deviceMajor, deviceMinor }: TreeEntry): void {
  if (kind === 'character' && deviceMajor === 0 && deviceMinor === 0)
    throw new BuildError('unsafe-path', `storing "/${toText(path)}": a device 0:0 cannot be part of a layer`);
}

/** Such a name says in the changeset of a layer that another file is gone (OCI image-spec, layer.md). */
function refuseWhiteoutName({ path }: TreeEntry): void {
  if (!path.slice(path.lastIndexOf('/') + 1).startsWith('.wh.')) return;
  const reason = 'a name that starts with .wh. cannot be part of a layer, where it hides another';
  throw new BuildError('unsafe-path', `storing "/${toText(path)}": ${reason}`, {
    hint: 'Leave it out by --exclude or .containerignore, or rename it.',
  });
}

async function stagingDirectory({ store }: BuildSurroundings, container: WorkingContainer): Promise<string> {
  return mkdtempSync(join(await store.containers.directory(container.id), 'link-stage-'));
}

function linkedLayer(
  container: WorkingContainer,
  destination: string,
  options: AddOptions,
  added: { readonly summary: ContentSummary; readonly staging: string; readonly newestNs: bigint },
): WorkingContainer['appendedLayers'][number] {
  const {
    extract,
    timestampSeconds,
    latestSeconds = Number.POSITIVE_INFINITY,
    linkHistorySuffix = '',
  } = options;
  const newestMs = Number(added.newestNs / 1_000_000n);
  const createdMs =
    timestampSeconds === undefined ? Math.min(newestMs, latestSeconds * 1000) : timestampSeconds * 1000;
  const history = {
    created: new Date(createdMs).toISOString(),
    created_by: `/bin/sh -c #(nop) ${extract ? 'ADD' : 'COPY'} --link ${formatSummary(added.summary)} in ${destination} ${linkHistorySuffix}`,
    comment: container.historyComment,
  };
  return { history, path: added.staging };
}

function shapeOf(sources: readonly Source[], given: number, options: AddOptions) {
  const [first] = sources;
  const match = first?.kind === 'local' ? first.source.matches[0] : undefined;
  const isArchive = first?.kind === 'remote' && first.fetched?.isArchive === true;
  const single = given === 1;
  const keepsDirectories =
    first?.kind === 'local' && match
      ? options.parents && splitAtPivot(match, first.source.pivot).kept.length > 1
      : options.parents;
  return {
    count: given,
    isSingleFile:
      single &&
      ((first?.kind === 'remote' && !isArchive) ||
        first?.kind === 'inline' ||
        match?.kind === 'file' ||
        (match?.kind === 'other' && options.followSymlinks === false)) &&
      !keepsDirectories,
    isTree:
      keepsDirectories ||
      (single && (first?.kind === 'git' || match?.kind === 'directory' || match?.kind === 'archive')) ||
      (single && isArchive) ||
      false,
    isIndependent: options.link ?? false,
  };
}
