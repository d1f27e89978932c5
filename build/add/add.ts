import type { Hash } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { IdMappings, IdRange } from '../../store/layer/contract.ts';
import type { BuildSurroundings, WorkingContainer } from '../container/contract.ts';
import { withMount } from '../container/mount.ts';
import { BuildError } from '../error.ts';
import { extractArchive, extractStream } from './archive.ts';
import { parseChmod } from './chmod.ts';
import {
  ContentDigest,
  type ContentSummary,
  formatSummary,
  startFileDigest,
  summarize,
} from './content-digest.ts';
import type { AddOptions, AddResult, AddSource } from './contract.ts';
import { chooseDestination, type Destination } from './destination.ts';
import { joinBytes } from './glob.ts';
import { findLocalSource, type LocalSource, type Match } from './local-source.ts';
import { lookUpOwner, type Owner } from './owner.ts';
import { IgnoreRules } from './pattern.ts';
import { fetchRemote, isGitSource, isRemoteSource, type RemoteContent } from './remote.ts';
import { type BytePath, fromText, RootedDirectory, toText } from './rooted.ts';
import { type FileOrigin, type OnEntry, type ReadOptions, TreeReader } from './tree-reader.ts';
import { type ContentReader, type TreeEntry, TreeWriter } from './tree-writer.ts';

/**
 * Adds files, directories, archives, downloads and git repositories to a working container, as Buildah's Add does.
 * The container's root file system is mounted for the time of the call.
 * @throws BuildError `missing-file`, `unsafe-path`, `bad-argument`, `bad-user`, `bad-option`
 */
export async function addToContainer(
  surroundings: BuildSurroundings,
  container: WorkingContainer,
  destination: string,
  sources: readonly AddSource[],
  options: AddOptions = {},
): Promise<AddResult> {
  await using mounted = await withMount(surroundings.store, container);
  using root = new RootedDirectory(mounted.rootfs);
  const work = new Addition(surroundings, container, root, options);
  return await work.run(destination, sources);
}

type Source =
  | { readonly kind: 'local'; readonly source: LocalSource }
  | { readonly kind: 'remote'; readonly url: string }
  | { readonly kind: 'git'; readonly url: string }
  | { readonly kind: 'inline'; readonly name: string; readonly data: Uint8Array };

class Addition {
  readonly #surroundings: BuildSurroundings;
  readonly #container: WorkingContainer;
  readonly #root: RootedDirectory;
  readonly #options: AddOptions;
  readonly #digests: ContentDigest[] = [];
  #newestNs = 0n;

  constructor(
    surroundings: BuildSurroundings,
    container: WorkingContainer,
    root: RootedDirectory,
    options: AddOptions,
  ) {
    this.#surroundings = surroundings;
    this.#container = container;
    this.#root = root;
    this.#options = options;
  }

  async run(given: string, list: readonly AddSource[]): Promise<AddResult> {
    const options = this.#options;
    const contextPath = resolve(options.contextDirectory ?? '/');
    using context = new RootedDirectory(contextPath);
    const sources: Source[] = [];
    for (const source of list) sources.push(await this.#classify(context, contextPath, source));
    const found = sources.map((source) => (source.kind === 'local' ? source.source.matches.length : 1));
    if (found.every((count) => count === 0)) {
      if (!options.allowEmptyWildcard)
        throw new BuildError(
          'missing-file',
          `checking on sources under "${contextPath}": globs [${list.map(String).join(' ')}] matched nothing: no such file or directory`,
        );
      return this.#result([], given);
    }
    const read = this.#readOptions(this.#owner());
    const workingDirectory = this.#container.ociConfig.config?.WorkingDir || '/';
    const destination = chooseDestination(
      this.#root,
      given,
      workingDirectory,
      shapeOf(sources, list.length, options),
    );
    const staging = options.link ? await this.#stagingDirectory() : undefined;
    using stagingRoot = staging === undefined ? undefined : new RootedDirectory(staging);
    using writer = new TreeWriter(stagingRoot ?? this.#root, destination.directory, {
      directoryOwner: toHost(this.#container.idMappings, read.owner ?? { uid: 0, gid: 0 }),
      skipDevices: this.#surroundings.store.rootless,
    });
    if (!options.dryRun) writer.makeBase();
    for (const source of sources) await this.#one(context, source, writer, destination, read);
    if (!options.dryRun) writer.finish();
    return this.#result(
      this.#digests.map((digest) => ({ kind: digest.kind, hex: digest.finish() })),
      given,
      staging,
    );
  }

  async #classify(context: RootedDirectory, contextPath: string, source: AddSource): Promise<Source> {
    if (typeof source !== 'string') return { kind: 'inline', ...source };
    if (source === '') throw new BuildError('bad-argument', 'empty source location');
    if (isGitSource(source)) return { kind: 'git', url: source };
    if (isRemoteSource(source)) return { kind: 'remote', url: source };
    if (this.#options.checksum)
      throw new BuildError('bad-option', 'checksum flag is not supported for local sources');
    const { workingDirectory } = this.#surroundings;
    return {
      kind: 'local',
      source: await findLocalSource(context, contextPath, source, this.#options, workingDirectory),
    };
  }

  #owner(): Owner | undefined {
    if (this.#options.chown) return lookUpOwner(this.#root, this.#options.chown);
    return this.#options.preserveOwnership ? undefined : { uid: 0, gid: 0 };
  }

  async #stagingDirectory(): Promise<string> {
    return mkdtempSync(
      join(await this.#surroundings.store.containers.directory(this.#container.id), 'link-stage-'),
    );
  }

  async #one(
    context: RootedDirectory,
    source: Source,
    writer: TreeWriter,
    destination: Destination,
    read: ReadOptions,
  ): Promise<void> {
    this.#surroundings.signal?.throwIfAborted();
    if (source.kind === 'local') await this.#local(context, source.source, writer, destination, read);
    else if (source.kind === 'inline') {
      const digest = this.#start('file');
      const entry = inlineEntry(destination.rename ?? source.name, 0o644, read, this.#surroundings.now());
      this.#sink(writer, digest)(entry, source.data.length, bytesReader(source.data));
    } else await this.#fetched(source, writer, destination, read);
  }

  #readOptions(owner: Owner | undefined): ReadOptions {
    const options = this.#options;
    const stripBits =
      (options.stripSetuid ? 0o4000 : 0) |
      (options.stripSetgid ? 0o2000 : 0) |
      (options.stripSticky ? 0o1000 : 0);
    return {
      owner,
      stripBits,
      chmod: options.chmod ? parseChmod(options.chmod) : undefined,
      timestampNs:
        options.timestampSeconds === undefined
          ? undefined
          : BigInt(options.timestampSeconds) * 1_000_000_000n,
      ignore: options.excludes?.length ? new IgnoreRules(options.excludes) : undefined,
      onWarning: this.#surroundings.onWarning,
      ...(options.dryRun && options.knownDigests
        ? { knownDigest: (status) => options.knownDigests?.get(status) }
        : {}),
    };
  }

  async #local(
    context: RootedDirectory,
    source: LocalSource,
    writer: TreeWriter,
    destination: Destination,
    read: ReadOptions,
  ): Promise<void> {
    let copied = 0;
    const parents = new Set<string>();
    for (const match of source.matches) {
      if (match.path !== '' && read.ignore?.excludes(toText(match.path))) {
        if (match.kind !== 'directory' || !read.ignore.mayIncludeBelow(toText(match.path))) continue;
      } else if (match.kind === 'directory') copied += 1;
      const digest = this.#start(match.kind === 'directory' ? 'dir' : 'file');
      const sink = this.#sink(writer, digest, (path) => this.#sourcePath(source, match, path));
      const reader = new TreeReader(context, read, (entry, size, content, origin) => {
        copied += 1;
        sink(entry, size, content, origin);
      });
      if (this.#options.parents) emitParents(reader, match, source.pivot, parents);
      await this.#match(context, reader, match, source, destination, sink);
      if (match.kind === 'archive') copied += 1;
    }
    if (copied > 0 || source.matches.length === 0) return;
    const using = this.#options.ignoreFile ? ` using ${this.#options.ignoreFile}` : '';
    throw new BuildError(
      'missing-file',
      `no items matching glob "${source.given}" copied (${source.matches.length} filtered out${using}): no such file or directory`,
    );
  }

  #sourcePath(source: LocalSource, match: Match, path: BytePath): BytePath {
    if (this.#options.parents) return [...match.path.split('/').slice(0, source.pivot), path].join('/');
    return match.kind === 'file' || match.kind === 'other' ? match.path : joinBytes(match.path, path);
  }

  async #match(
    context: RootedDirectory,
    reader: TreeReader,
    match: Match,
    source: LocalSource,
    destination: Destination,
    sink: OnEntry,
  ): Promise<void> {
    const parts = match.path.split('/');
    const kept = this.#options.parents ? parts.slice(source.pivot).join('/') : undefined;
    const name = parts.at(-1) as BytePath;
    if (match.kind === 'archive') {
      await extractArchive(context, match.resolved, sink, this.#archiveOptions());
    } else if (match.kind === 'directory') {
      const prefix = kept ?? (this.#options.keepDirectoryNames ? name : '');
      if (prefix && !this.#options.parents) reader.directoryEntry(match.resolved, prefix);
      reader.contents(match.resolved, prefix);
    } else reader.file(match.resolved, destination.rename ? fromText(destination.rename) : (kept ?? name));
  }

  #archiveOptions() {
    const { timestampSeconds } = this.#options;
    return {
      timestampNs: timestampSeconds === undefined ? undefined : BigInt(timestampSeconds) * 1_000_000_000n,
      signal: this.#surroundings.signal,
    };
  }

  async #fetched(
    source: { readonly kind: 'remote' | 'git'; readonly url: string },
    writer: TreeWriter,
    destination: Destination,
    read: ReadOptions,
  ): Promise<void> {
    const digest = this.#start('');
    const sink = this.#sink(writer, digest);
    await using content: RemoteContent = await fetchRemote(source.url, this.#options, this.#surroundings);
    using root = new RootedDirectory(content.directory);
    if (source.kind === 'git') {
      const below = root.resolve(fromText(content.name));
      const keep = content.keepGitDirectory ?? this.#options.keepGitDirectory ?? false;
      const timestampNs = content.modifiedMs > 0 ? BigInt(content.modifiedMs) * 1_000_000n : undefined;
      const ignore = gitIgnore(this.#options, keep);
      new TreeReader(root, { ...read, timestampNs: read.timestampNs ?? timestampNs, ignore }, sink).contents(
        below,
        '',
      );
      return;
    }
    if (
      this.#options.extractRemote &&
      (await extractStream(root, fromText(content.name), sink, this.#archiveOptions()))
    )
      return;
    const reader = new TreeReader(
      root,
      {
        ...read,
        owner: read.owner ?? { uid: 0, gid: 0 },
        timestampNs: read.timestampNs ?? BigInt(Math.floor(content.modifiedMs)) * 1_000_000n,
      },
      sink,
    );
    reader.file(fromText(content.name), fromText(destination.rename ?? content.name));
  }

  #start(kind: '' | 'file' | 'dir'): ContentDigest {
    const digest = new ContentDigest(kind);
    this.#digests.push(digest);
    return digest;
  }

  /** Digests what is read and writes it, with ids as the container's user namespace wants them. */
  #sink(
    writer: TreeWriter,
    digest: ContentDigest,
    sourcePath: (path: BytePath) => BytePath = (path) => path,
  ): OnEntry {
    const { sourceIdMappings, dryRun, knownDigests: known, onContent } = this.#options;
    const buffer = dryRun ? Buffer.allocUnsafe(1 << 18) : undefined;
    return (original, sizeBytes, content, origin) => {
      const entry = sourceIdMappings ? { ...original, ...toContainer(sourceIdMappings, original) } : original;
      if (entry.modifiedNs > this.#newestNs) this.#newestNs = entry.modifiedNs;
      const readAtMs = origin && known ? this.#surroundings.now().getTime() : 0;
      const file = entry.kind === 'file' && !origin?.digest ? startFileDigest(entry.xattrs) : undefined;
      const reader = content && file ? digesting(content, file) : content;
      if (!buffer) writer.put({ ...entry, ...toHost(this.#container.idMappings, entry) }, reader);
      else while (reader && reader(buffer) > 0);
      const contentDigest = origin?.digest ?? file?.digest();
      digest.entry(entry, sizeBytes, contentDigest);
      if (known && file && origin && contentDigest && isSame(origin))
        known.put(origin.status, contentDigest, readAtMs);
      onContent?.(sourcePath(entry.path), entry, sizeBytes, contentDigest);
    };
  }

  #result(
    digests: readonly { readonly kind: string; readonly hex: string }[],
    given: string,
    staging?: string,
  ): AddResult {
    const summary: ContentSummary = summarize(digests);
    if (staging === undefined) return { summary, container: this.#container };
    const { extract, timestampSeconds, latestSeconds, linkHistorySuffix = '' } = this.#options;
    const newestMs = Number(this.#newestNs / 1_000_000n);
    const createdMs =
      timestampSeconds === undefined
        ? Math.min(newestMs, (latestSeconds ?? Number.POSITIVE_INFINITY) * 1000)
        : timestampSeconds * 1000;
    const history = {
      created: new Date(createdMs).toISOString(),
      created_by: `/bin/sh -c #(nop) ${extract ? 'ADD' : 'COPY'} --link ${formatSummary(summary)} in ${given} ${linkHistorySuffix}`,
      comment: this.#container.historyComment,
    };
    const { appendedLayers } = this.#container;
    return {
      summary,
      container: { ...this.#container, appendedLayers: [...appendedLayers, { history, path: staging }] },
    };
  }
}

function shapeOf(sources: readonly Source[], given: number, options: AddOptions) {
  const [first] = sources;
  const match = first?.kind === 'local' ? first.source.matches[0] : undefined;
  const single = given === 1;
  return {
    count: given,
    isSingleFile:
      single &&
      (first?.kind === 'remote' ||
        first?.kind === 'inline' ||
        match?.kind === 'file' ||
        (match?.kind === 'other' && options.followSymlinks === false)) &&
      !options.parents,
    isTree:
      options.parents ||
      (single && (first?.kind === 'git' || match?.kind === 'directory' || match?.kind === 'archive')) ||
      (single && first?.kind === 'remote' && options.extractRemote) ||
      false,
  };
}

function emitParents(reader: TreeReader, match: Match, pivot: number, done: Set<string>): void {
  const parts = match.path.split('/');
  const last = match.kind === 'directory' ? parts.length : parts.length - 1;
  for (let count = pivot + 1; count <= last; count += 1) {
    const source = parts.slice(0, count).join('/');
    if (done.has(source)) continue;
    done.add(source);
    reader.directoryEntry(source, parts.slice(pivot, count).join('/'));
  }
}

function inlineEntry(name: string, mode: number, read: ReadOptions, now: Date): TreeEntry {
  return {
    path: joinBytes('', fromText(name)),
    kind: 'file',
    mode: read.chmod ? read.chmod(mode, false) : mode,
    uid: read.owner?.uid ?? 0,
    gid: read.owner?.gid ?? 0,
    modifiedNs: read.timestampNs ?? BigInt(now.getTime()) * 1_000_000n,
  };
}

function bytesReader(bytes: Uint8Array): ContentReader {
  let at = 0;
  return (buffer) => {
    const chunk = bytes.subarray(at, at + buffer.length);
    buffer.set(chunk);
    at += chunk.length;
    return chunk.length;
  };
}

function isSame({ status, again }: FileOrigin): boolean {
  const now = again();
  return (
    now.sizeBytes === status.sizeBytes &&
    now.modifiedNs === status.modifiedNs &&
    now.changedNs === status.changedNs
  );
}

function digesting(content: ContentReader, digest: Hash): ContentReader {
  return (buffer) => {
    const count = content(buffer);
    if (count > 0) digest.update(buffer.subarray(0, count));
    return count;
  };
}

function gitIgnore(options: AddOptions, keepGitDirectory: boolean): IgnoreRules {
  return new IgnoreRules([...(options.excludes ?? []), ...(keepGitDirectory ? [] : ['**/.git'])]);
}

function toHost(mappings: IdMappings | undefined, owner: Owner): Owner {
  if (!mappings) return { uid: owner.uid, gid: owner.gid };
  return {
    uid: mapped(mappings.uids, owner.uid, 'containerId', 'hostId'),
    gid: mapped(mappings.gids, owner.gid, 'containerId', 'hostId'),
  };
}

function toContainer(mappings: IdMappings, owner: Owner): Owner {
  return {
    uid: mapped(mappings.uids, owner.uid, 'hostId', 'containerId'),
    gid: mapped(mappings.gids, owner.gid, 'hostId', 'containerId'),
  };
}

type IdKey = 'containerId' | 'hostId';

function mapped(ranges: readonly IdRange[], id: number, from: IdKey, to: IdKey): number {
  if (ranges.length === 0) return id;
  const range = ranges.find((entry) => id >= entry[from] && id < entry[from] + entry.size);
  if (!range) throw new BuildError('bad-user', `id ${id} has no mapping in the container's user namespace`);
  return range[to] + (id - range[from]);
}
