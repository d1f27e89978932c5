import {
  createWriteStream,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { extractStream } from '../add/archive.ts';
import type { RemoteOptions } from '../add/contract.ts';
import { redact } from '../add/redact.ts';
import { fetchRemote, isGitSource, type RemoteContent } from '../add/remote.ts';
import { fromText, RootedDirectory } from '../add/rooted.ts';
import { TreeWriter } from '../add/tree-writer.ts';
import type { BuildSurroundings } from '../container/contract.ts';
import { BuildError } from '../error.ts';

/** A context that was brought to this machine; gone when disposed. */
export interface FetchedContext extends AsyncDisposable {
  readonly directory: string;
  /** It was no archive: the directory has a Dockerfile with what came, and nothing else. */
  readonly isFile: boolean;
}

/** What messages call a context that was read from a stream. */
export const STANDARD_INPUT = 'standard input';

/** True for what a build's context argument may be besides a directory: http(s), git, github.com/owner/name. */
export function isRemoteContext(text: string): boolean {
  return /^(https?:\/\/|git:\/\/|git@|ssh:\/\/git@|github\.com\/)/.test(text);
}

/**
 * Fetches a context: a git repository (`#ref:subdirectory`), or an archive or a lone Containerfile behind a URL.
 * @throws BuildError `bad-context`
 */
export async function fetchContext(
  url: string,
  surroundings: BuildSurroundings,
  options: Pick<RemoteOptions, 'sshPaths'> = {},
): Promise<FetchedContext> {
  const github = /^github\.com\/[^/]+\/([^/#?]+)$/.exec(url);
  const address =
    github && !url.endsWith('.git')
      ? `https://${url}/archive/master.tar.gz`
      : url.replace(/^github\.com\//, 'https://github.com/');
  const content = await fetchOrExplain(address, options, surroundings);
  if (isGitSource(address)) {
    return {
      directory: join(content.directory, content.name),
      isFile: false,
      [Symbol.asyncDispose]: () => content[Symbol.asyncDispose](),
    };
  }
  await using _content = content;
  const path = join(content.directory, content.name);
  if (statSync(path).size === 0) throw new BuildError('bad-context', `no contents in "${redact(url)}"`);
  return await unpack(
    content.directory,
    content.name,
    github?.[1] ? `${github[1]}-master` : '',
    surroundings,
  );
}

/** Scripts look for Buildah's words about git. */
async function fetchOrExplain(
  address: string,
  options: RemoteOptions,
  surroundings: BuildSurroundings,
): Promise<RemoteContent> {
  try {
    return await fetchRemote(address, { ...options, retries: 0, keepGitDirectory: true }, surroundings);
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    const message = error.message.replace(/: git (\w+): /, ': failed while performing `git $1`: ');
    throw new BuildError('bad-context', `prepping temporary context directory: ${message}`, { cause: error });
  }
}

/** Reads a context from a stream: an archive, or a Containerfile alone. */
export async function readContext(
  stream: Readable,
  surroundings: BuildSurroundings,
): Promise<FetchedContext> {
  const received = mkdtempSync(join(surroundings.temporaryDirectory, 'slipway-stdin-'));
  try {
    const path = join(received, STANDARD_INPUT);
    await pipeline(stream, createWriteStream(path), { signal: surroundings.signal });
    return await unpack(received, STANDARD_INPUT, '', surroundings);
  } finally {
    rmSync(received, { recursive: true, force: true });
  }
}

/** SECURITY B10: what is no archive is a Containerfile; an archive that breaks off fails, whatever it left behind. */
async function unpack(
  source: string,
  name: string,
  below: string,
  surroundings: BuildSurroundings,
): Promise<FetchedContext> {
  const directory = mkdtempSync(join(surroundings.temporaryDirectory, 'slipway-context-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  const found = await placeOf(source, name, directory, below, surroundings);
  const kept = stack.move();
  return { ...found, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

async function placeOf(
  source: string,
  name: string,
  directory: string,
  below: string,
  surroundings: BuildSurroundings,
): Promise<Omit<FetchedContext, keyof AsyncDisposable>> {
  const first = join(directory, 'archive');
  mkdirSync(first);
  if (await extractInto(source, name, first, surroundings)) {
    using root = new RootedDirectory(first);
    const inside = root.resolve(fromText(below));
    return { directory: join(first, Buffer.from(inside, 'latin1').toString()), isFile: false };
  }
  const second = join(directory, 'file');
  mkdirSync(second);
  writeFileSync(join(second, 'Dockerfile'), readFileSync(join(source, name)), { mode: 0o600 });
  return { directory: second, isFile: true };
}

async function extractInto(
  source: string,
  name: string,
  into: string,
  surroundings: BuildSurroundings,
): Promise<boolean> {
  const owner = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
  using from = new RootedDirectory(source);
  using to = new RootedDirectory(into);
  using writer = new TreeWriter(to, '', { directoryOwner: owner, skipDevices: true });
  const isArchive = await extractStream(
    from,
    fromText(name),
    (entry, _size, content) => {
      if (entry.path !== '') writer.put({ ...entry, ...owner, xattrs: [] }, content);
    },
    surroundings,
  );
  if (isArchive) writer.finish();
  return isArchive;
}
