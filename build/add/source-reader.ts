import { join } from 'node:path';
import type { BuildSurroundings } from '../container/contract.ts';
import { BuildError } from '../error.ts';
import { extractArchive, isArchive } from './archive.ts';
import { parseChmod } from './chmod.ts';
import { ContentDigest } from './content-digest.ts';
import type { AddOptions, AddSource } from './contract.ts';
import { changedDigest, drain, FileDigest, isSame } from './file-digest.ts';
import { joinBytes } from './glob.ts';
import { toContainer } from './id-mapping.ts';
import { findLocalSource, type LocalSource, type Match, splitAtPivot } from './local-source.ts';
import type { Owner } from './owner.ts';
import { IgnoreRules } from './pattern.ts';
import { fetchRemote, isGitSource, isRemoteSource, type RemoteContent } from './remote.ts';
import type { ReusedFiles } from './reused-files.ts';
import { type BytePath, fromText, RootedDirectory, toText } from './rooted.ts';
import { type OnEntry, type ReadOptions, TreeReader } from './tree-reader.ts';
import type { ContentReader, TreeEntry } from './tree-writer.ts';

/** What a source turned out to be. */
export type Source =
  | { readonly kind: 'local'; readonly source: LocalSource }
  | { readonly kind: 'remote'; readonly url: string; readonly fetched?: FetchedDownload }
  | { readonly kind: 'git'; readonly url: string }
  | { readonly kind: 'inline'; readonly name: string; readonly data: Uint8Array };

/** A download that may be unpacked: where it goes depends on what it is, so that it has to be here first. */
export interface FetchedDownload {
  readonly content: RemoteContent;
  readonly isArchive: boolean;
}

/**
 * @param held what has to stay until the source was read
 * @throws BuildError `bad-argument`, `bad-option`, `missing-file`, `unsafe-path`
 */
export async function findSource(
  surroundings: BuildSurroundings,
  context: RootedDirectory,
  contextPath: string,
  source: AddSource,
  options: AddOptions,
  held: AsyncDisposableStack,
): Promise<Source> {
  if (typeof source !== 'string') return { kind: 'inline', ...source };
  if (source === '') throw new BuildError('bad-argument', 'empty source location');
  if (isGitSource(source)) return { kind: 'git', url: source };
  if (isRemoteSource(source)) {
    if (!options.extractRemote) return { kind: 'remote', url: source };
    const content = held.use(await fetchRemote(source, options, surroundings));
    return { kind: 'remote', url: source, fetched: { content, isArchive: await isArchiveIn(content) } };
  }
  if (options.checksum)
    throw new BuildError('bad-option', 'checksum flag is not supported for local sources');
  return {
    kind: 'local',
    source: await findLocalSource(context, contextPath, source, options, surroundings.workingDirectory),
  };
}

async function isArchiveIn({ directory, name }: RemoteContent): Promise<boolean> {
  using root = new RootedDirectory(directory);
  return isArchive(root, fromText(name));
}

/** Reads sources entry by entry, and digests what it reads on the way. */
export class SourceReader {
  readonly #surroundings: BuildSurroundings;
  readonly #options: AddOptions;
  readonly #read: ReadOptions;
  readonly #emit: OnEntry | undefined;
  readonly #reused: ReusedFiles | undefined;
  readonly #digests: ContentDigest[] = [];
  #newestNs = 0n;

  /**
   * @param owner of everything; undefined: the sources' own
   * @param emit takes each entry; absent: everything is only digested, content that is known already not even read
   * @param reused puts files in their places that need not be read then
   */
  constructor(
    surroundings: BuildSurroundings,
    options: AddOptions,
    owner: Owner | undefined,
    emit: OnEntry | undefined,
    reused?: ReusedFiles,
  ) {
    this.#surroundings = surroundings;
    this.#options = options;
    this.#read = this.#readOptions(owner);
    this.#emit = emit;
    this.#reused = reused;
  }

  /**
   * The newest modification time of a source so far, in nanoseconds: of what was named or matched itself, not of
   * what is below a directory.
   */
  get newestNs(): bigint {
    return this.#newestNs;
  }

  /** One for each thing that was added. Call once, after the last {@link read}. */
  digests(): { readonly kind: string; readonly hex: string }[] {
    return this.#digests.map((digest) => ({ kind: digest.kind, hex: digest.finish() }));
  }

  async read(context: RootedDirectory, source: Source): Promise<void> {
    this.#surroundings.signal?.throwIfAborted();
    if (source.kind === 'local') await this.#local(context, source.source);
    else if (source.kind === 'inline') this.#inline(source.name, source.data);
    else if (source.kind === 'git') await this.#git(source.url);
    else await this.#download(source.url, source.fetched);
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
      timestampNs: this.#timestampNs(),
      ignore: options.excludes?.length ? new IgnoreRules(options.excludes) : undefined,
      onWarning: this.#surroundings.onWarning,
    };
  }

  /** Content is read again where it is written: what is digested is then what was written. */
  #knownDigest(): ReadOptions['knownDigest'] {
    const { knownDigests } = this.#options;
    const reused = this.#reused;
    // Names of one file have to stay that.
    if (reused) return (status, entry) => (status.links === 1 ? reused.place(entry, status) : undefined);
    return this.#emit || !knownDigests ? undefined : (status) => knownDigests.get(status);
  }

  #timestampNs(): bigint | undefined {
    const { timestampSeconds } = this.#options;
    return timestampSeconds === undefined ? undefined : BigInt(timestampSeconds) * 1_000_000_000n;
  }

  #inline(name: string, data: Uint8Array): void {
    const entry = inlineEntry(name, 0o644, this.#read, this.#surroundings.now());
    this.#sawTime(entry.modifiedNs);
    this.#sink(this.#start('file'))(entry, data.length, bytesReader(data));
  }

  async #local(context: RootedDirectory, source: LocalSource): Promise<void> {
    const { ignore } = this.#read;
    let copied = 0;
    const parents = new Set<string>();
    for (const match of source.matches) {
      if (match.path !== '' && ignore?.excludes(toText(match.path))) {
        if (match.kind !== 'directory' || !ignore.mayIncludeBelow(toText(match.path))) continue;
      } else if (match.kind === 'directory') copied += 1;
      this.#sawTime(context.status(match.path, false)?.modifiedNs);
      const sink = this.#sink(this.#start(match.kind === 'directory' ? 'dir' : 'file'), (path) =>
        this.#sourcePath(source, match, path),
      );
      const counted: OnEntry = (...entry) => {
        copied += 1;
        sink(...entry);
      };
      const reader = new TreeReader(context, { ...this.#read, knownDigest: this.#knownDigest() }, counted);
      if (this.#options.parents) emitParents(reader, match, source.pivot, parents);
      await this.#match(context, reader, match, source, sink);
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
    if (this.#options.parents) return [...splitAtPivot(match, source.pivot).above, path].join('/');
    return match.kind === 'file' || match.kind === 'other' ? match.path : joinBytes(match.path, path);
  }

  async #match(
    context: RootedDirectory,
    reader: TreeReader,
    match: Match,
    source: LocalSource,
    sink: OnEntry,
  ): Promise<void> {
    const kept = this.#options.parents ? splitAtPivot(match, source.pivot).kept.join('/') : undefined;
    const name = match.path.split('/').at(-1) as BytePath;
    if (match.kind === 'archive') {
      await extractArchive(context, match.resolved, sink, this.#archiveOptions());
    } else if (match.kind === 'directory') {
      const prefix = kept ?? (this.#options.keepDirectoryNames ? name : '');
      if (prefix && !this.#options.parents) reader.directoryEntry(match.resolved, prefix);
      reader.contents(match.resolved, prefix);
    } else reader.file(match.resolved, kept ?? name);
  }

  #archiveOptions() {
    const { temporaryDirectory, signal } = this.#surroundings;
    return { timestampNs: this.#timestampNs(), temporaryDirectory, signal };
  }

  async #git(url: string): Promise<void> {
    const sink = this.#sink(this.#start(''));
    await using content = await fetchRemote(url, this.#options, this.#surroundings);
    this.#sawTime(nanoseconds(content.modifiedMs));
    // Buildah keeps it, where BuildKit wants to be asked.
    const keep = content.keepGitDirectory ?? this.#options.keepGitDirectory ?? true;
    const timestampNs = content.modifiedMs > 0 ? nanoseconds(content.modifiedMs) : undefined;
    const read: ReadOptions = {
      ...this.#read,
      timestampNs: this.#read.timestampNs ?? timestampNs,
      ignore: gitIgnore(this.#options, keep),
    };
    using tree = new RootedDirectory(join(content.directory, content.name));
    new TreeReader(tree, read, sink).contents('', '');
  }

  async #download(url: string, fetched: FetchedDownload | undefined): Promise<void> {
    const sink = this.#sink(this.#start(''));
    await using own = fetched ? undefined : await fetchRemote(url, this.#options, this.#surroundings);
    const content = fetched?.content ?? (own as RemoteContent);
    using root = new RootedDirectory(content.directory);
    this.#sawTime(nanoseconds(content.modifiedMs));
    const name = fromText(content.name);
    if (fetched?.isArchive) return await extractArchive(root, name, sink, this.#archiveOptions());
    const read: ReadOptions = {
      ...this.#read,
      owner: this.#read.owner ?? { uid: 0, gid: 0 },
      timestampNs: this.#read.timestampNs ?? nanoseconds(content.modifiedMs),
      // What is named by a URL is wanted, whatever rules say of files.
      ignore: undefined,
    };
    new TreeReader(root, read, sink).file(name, name);
  }

  #sawTime(modifiedNs = 0n): void {
    const timeNs = this.#read.timestampNs ?? modifiedNs;
    if (timeNs > this.#newestNs) this.#newestNs = timeNs;
  }

  #start(kind: '' | 'file' | 'dir'): ContentDigest {
    const digest = new ContentDigest(kind);
    this.#digests.push(digest);
    return digest;
  }

  /** Digests what is read and hands it on, with ids as the container's user namespace wants them. */
  #sink(digest: ContentDigest, sourcePath: (path: BytePath) => BytePath = (path) => path): OnEntry {
    const { sourceIdMappings, knownDigests, onContent } = this.#options;
    return (original, sizeBytes, content, origin) => {
      const entry = sourceIdMappings ? { ...original, ...toContainer(sourceIdMappings, original) } : original;
      const readAtMs = origin && knownDigests ? this.#surroundings.now().getTime() : 0;
      const known = origin?.digest ?? (origin && knownDigests?.get(origin.status));
      const file = entry.kind === 'file' && !known ? new FileDigest(entry.xattrs) : undefined;
      const reader = content && file ? file.reading(content) : content;
      if (this.#emit && !origin?.digest) this.#emit(entry, sizeBytes, reader);
      else if (reader) drain(reader);
      const isStable = !content || !origin || isSame(origin);
      const contentDigest = known && !isStable ? changedDigest(known) : (known ?? file?.finish());
      digest.entry(entry, sizeBytes, contentDigest);
      if (knownDigests && file && origin && contentDigest && isStable)
        knownDigests.put(origin.status, contentDigest, readAtMs);
      onContent?.(sourcePath(entry.path), entry, sizeBytes, contentDigest);
    };
  }
}

const nanoseconds = (ms: number): bigint => BigInt(Math.floor(ms)) * 1_000_000n;

function emitParents(reader: TreeReader, match: Match, pivot: number, done: Set<string>): void {
  const { above, kept } = splitAtPivot(match, pivot);
  const last = match.kind === 'directory' ? kept.length : kept.length - 1;
  for (let count = 1; count <= last; count += 1) {
    const source = [...above, ...kept.slice(0, count)].join('/');
    if (done.has(source)) continue;
    done.add(source);
    reader.directoryEntry(source, kept.slice(0, count).join('/'));
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

function gitIgnore(options: AddOptions, keepGitDirectory: boolean): IgnoreRules {
  const excludes = options.gitExcludes ?? options.excludes ?? [];
  return new IgnoreRules([...excludes, ...(keepGitDirectory ? [] : ['**/.git'])]);
}
