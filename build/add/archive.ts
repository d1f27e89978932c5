import { spawn } from 'node:child_process';
import { closeSync, createWriteStream, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { decompressed, detectCompression } from '../../store/blob/compression.ts';
import { StoreError } from '../../store/error.ts';
import { OPEN, S_IF, statDescriptor } from '../../store/kernel/index.ts';
import { PAX_XATTR, TAR_TYPE, type TarEntry } from '../../store/layer/tar-entry.ts';
import { isTarHeader, TarReader } from '../../store/layer/tar-reader.ts';
import { BuildError } from '../error.ts';
import { type BytePath, cleanPath, type RootedDirectory, toText } from './rooted.ts';
import type { OnEntry } from './tree-reader.ts';
import type { ContentReader, TreeEntry } from './tree-writer.ts';

export interface ExtractOptions {
  readonly timestampNs?: bigint;
  /** For the plain copy of a compressed archive. Default: the system's. */
  readonly temporaryDirectory: string;
  readonly signal?: AbortSignal;
}

/** True for a tar archive with at least one entry, plain or compressed with gzip, zstd, bzip2 or xz. */
export async function isArchive(root: RootedDirectory, path: BytePath): Promise<boolean> {
  const fd = openRegular(root, path);
  if (fd === undefined) return false;
  try {
    return isTarHeader(await firstPlainBytes(fd));
  } finally {
    closeSync(fd);
  }
}

/** Reads an open plain file from its start. */
function tarReader(fd: number): TarReader {
  const buffer = Buffer.allocUnsafe(1 << 16);
  let at = 0;
  const source = {
    next(limit: number) {
      const count = readSync(fd, buffer, 0, Math.min(limit, buffer.length), at);
      at += count;
      return buffer.subarray(0, count);
    },
  };
  return new TarReader(source, undefined, { expandSparse: true });
}

async function firstPlainBytes(fd: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of plainStream(fd, undefined)) {
      chunks.push(chunk);
      size += chunk.length;
      if (size >= 512) break;
    }
  } catch (error) {
    if (error instanceof Error) return Buffer.alloc(0);
    throw error;
  }
  return Buffer.concat(chunks);
}

/** Unpacks an archive into `sink`; entries keep their owners, modes and times. */
export async function extractArchive(
  root: RootedDirectory,
  path: BytePath,
  sink: OnEntry,
  options: ExtractOptions,
): Promise<void> {
  const fd = openRegular(root, path);
  if (fd === undefined)
    throw new BuildError('missing-file', `reading archive "${toText(path)}": no such file or directory`);
  try {
    const head = Buffer.alloc(6);
    readSync(fd, head, 0, head.length, 0);
    if (detectCompression(head) === 'none') extractPlain(fd, sink, options);
    else await extractCompressed(fd, toText(path), sink, options);
  } catch (cause) {
    if (!(cause instanceof StoreError)) throw cause;
    throw new BuildError('bad-argument', `reading archive "${toText(path)}": ${cause.message}`, { cause });
  } finally {
    closeSync(fd);
  }
}

/** As {@link extractArchive} for something that need not be an archive: false where it is none. */
export async function extractStream(
  root: RootedDirectory,
  path: BytePath,
  sink: OnEntry,
  options: ExtractOptions,
): Promise<boolean> {
  if (!(await isArchive(root, path))) return false;
  await extractArchive(root, path, sink, options);
  return true;
}

async function extractCompressed(
  fd: number,
  name: string,
  sink: OnEntry,
  options: ExtractOptions,
): Promise<void> {
  const directory = mkdtempSync(join(options.temporaryDirectory, 'slipway-archive-'));
  try {
    const plain = join(directory, 'plain.tar');
    try {
      await pipeline(plainStream(fd, options.signal), createWriteStream(plain), { signal: options.signal });
    } catch (cause) {
      if (options.signal?.aborted) throw cause;
      throw new BuildError('bad-argument', `decompressing "${name}": ${(cause as Error).message}`, { cause });
    }
    const plainFd = openSync(plain, 'r');
    try {
      extractPlain(plainFd, sink, options);
    } finally {
      closeSync(plainFd);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const TOOLS = { bzip2: 'bzip2', xz: 'xz' } as const;

/** The decompressed bytes of an open file from its start. Formats that Node lacks go through their own tool. */
function plainStream(fd: number, signal: AbortSignal | undefined): Readable {
  const head = Buffer.alloc(6);
  readSync(fd, head, 0, head.length, 0);
  const compression = detectCompression(head);
  const raw = Readable.from(chunksOf(fd), { objectMode: false });
  if (compression === 'none') return raw;
  if (compression !== 'bzip2' && compression !== 'xz') {
    return decompressed(raw, compression);
  }
  const tool = spawn(TOOLS[compression], ['-dc'], { stdio: ['pipe', 'pipe', 'ignore'], signal });
  const stdin = tool.stdin as NodeJS.WritableStream;
  stdin.on('error', () => undefined);
  raw.pipe(stdin);
  return Readable.from(outputOf(tool, compression));
}

/** A read stream would close the descriptor when a pipeline destroys it, whatever `autoClose` says. */
function* chunksOf(fd: number): Generator<Buffer> {
  for (let at = 0; ; ) {
    const chunk = Buffer.allocUnsafe(1 << 18);
    const count = readSync(fd, chunk, 0, chunk.length, at);
    if (count === 0) return;
    at += count;
    yield chunk.subarray(0, count);
  }
}

async function* outputOf(tool: ReturnType<typeof spawn>, compression: string): AsyncGenerator<Buffer> {
  const ended = new Promise<number>((resolve, reject) => {
    tool.on('error', (cause) =>
      reject(
        new BuildError('unsupported', `running ${compression} -dc: ${cause.message}`, {
          cause,
          hint: `install ${compression}`,
        }),
      ),
    );
    tool.on('close', (code) => resolve(code ?? 1));
  });
  ended.catch(() => undefined);
  try {
    yield* tool.stdout as unknown as AsyncIterable<Buffer>;
    const code = await ended;
    if (code !== 0) throw new BuildError('bad-argument', `${compression} -dc ended with exit code ${code}`);
  } finally {
    tool.kill();
  }
}

const KINDS: Record<string, TreeEntry['kind']> = {
  [TAR_TYPE.file]: 'file',
  [TAR_TYPE.hardLink]: 'hardlink',
  [TAR_TYPE.symlink]: 'symlink',
  [TAR_TYPE.character]: 'character',
  [TAR_TYPE.block]: 'block',
  [TAR_TYPE.directory]: 'directory',
  [TAR_TYPE.fifo]: 'fifo',
};

function extractPlain(fd: number, sink: OnEntry, options: ExtractOptions): void {
  const reader = tarReader(fd);
  for (let entry = reader.next(); entry; entry = reader.next()) {
    options.signal?.throwIfAborted();
    const path = cleanPath(entry.name);
    const kind = KINDS[entry.type] as TreeEntry['kind'];
    if (path === '' && kind !== 'directory') continue;
    sink(
      treeEntry(entry, kind, path, options),
      entry.sizeBytes,
      kind === 'file' ? contentOf(reader) : undefined,
    );
  }
}

function contentOf(reader: TarReader): ContentReader {
  const read = (buffer: Buffer) => {
    const view = reader.content(buffer.length);
    buffer.set(view);
    return view.length;
  };
  return Object.assign(read, { hole: () => reader.hole() });
}

function treeEntry(
  { mode, uid, gid, deviceMajor, deviceMinor, linkName, modifiedNs, pax }: TarEntry,
  kind: TreeEntry['kind'],
  path: BytePath,
  options: ExtractOptions,
): TreeEntry {
  const xattrs = [...pax]
    .filter(([key]) => key.startsWith(PAX_XATTR))
    .map(([key, value]) => [key.slice(PAX_XATTR.length), Buffer.from(value, 'latin1')] as const);
  return {
    path,
    kind,
    mode,
    uid,
    gid,
    modifiedNs: options.timestampNs ?? modifiedNs,
    ...(kind === 'symlink' ? { link: linkName } : kind === 'hardlink' ? { link: cleanPath(linkName) } : {}),
    ...(kind === 'character' || kind === 'block' ? { deviceMajor, deviceMinor } : {}),
    xattrs,
  };
}

function openRegular(root: RootedDirectory, path: BytePath): number | undefined {
  const fd = root.open(path, OPEN.readOnly | OPEN.nonBlock);
  if (fd === undefined) return undefined;
  if ((statDescriptor(fd).mode & S_IF.mask) === S_IF.regular) return fd;
  closeSync(fd);
  return undefined;
}
