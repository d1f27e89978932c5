import { readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { redact } from '../../../build/add/redact.ts';
import type { BuildSurroundings } from '../../../build/container/contract.ts';
import {
  fetchContext,
  isRemoteContext,
  readContext,
  STANDARD_INPUT,
} from '../../../build/exec/fetch-context.ts';
import type { ContainerfileText } from '../../../build/exec/options.ts';
import { preprocess } from '../../../build/exec/preprocess.ts';
import { Workspace } from '../../../build/exec/workspace.ts';
import { decodeContainerfile } from '../../../build/parse/decode.ts';
import { isSystemError } from '../../../errors.ts';
import type { CommandContext } from '../../cli/contract.ts';
import { logLine } from '../../cli/log-line.ts';
import { proxiedFetch } from '../../cli/proxied-fetch.ts';
import { usage } from './arguments.ts';
import { sshSources } from './build-secrets.ts';

/** The context directory, absolute and without links; fetched ones are removed when disposed. */
export interface OpenContext extends AsyncDisposable {
  readonly directory: string;
  /** What messages call a fetched one instead of its directory. */
  readonly name?: string;
  /** A fetched one that is its Containerfile alone. */
  readonly isFile?: boolean;
  /** Absolute paths and URLs of the files to read, `-` for stdin. */
  readonly files: readonly string[];
}

const LIMIT_BYTES = 16 * 1024 * 1024;

/** Finds the context and the Containerfiles that the command line means. @throws UsageError, BuildError */
export async function openContext(
  context: CommandContext,
  surroundings: BuildSurroundings,
): Promise<OpenContext> {
  const { io, flags, args } = context;
  const [given] = args;
  const resources = new AsyncDisposableStack();
  const fetching = () => {
    const { temporaryDirectory } = resources.use(new Workspace(surroundings));
    return { ...surroundings, temporaryDirectory };
  };
  try {
    let directory = resolve(io.workingDirectory, given ?? '.');
    let fetched: Pick<OpenContext, 'directory' | 'name' | 'isFile'> | undefined;
    if (given === '-')
      fetched = {
        ...resources.use(await readContext(io.stdin as Readable, fetching())),
        name: STANDARD_INPUT,
      };
    else if (given !== undefined && isRemoteContext(given)) {
      const content = resources.use(await fetchContext(given, fetching(), sshOf(context)));
      fetched = { ...content, name: redact(given) };
    }
    if (fetched) directory = real(fetched.directory);
    let files = flags.list('file');
    if (files.length === 0) {
      const found = discover(directory, fetched?.name);
      files = [found];
      directory = dirname(found);
    }
    return {
      directory: real(directory),
      ...(fetched ? { name: fetched.name, isFile: fetched.isFile } : {}),
      files,
      [Symbol.asyncDispose]: () => resources.disposeAsync(),
    };
  } catch (error) {
    await resources.disposeAsync();
    throw error;
  }
}

function sshOf({ flags, io }: CommandContext): { readonly sshPaths?: readonly string[] } {
  const source = sshSources(flags.list('ssh'), io.environment).get('default');
  return source ? { sshPaths: source.paths } : {};
}

function real(directory: string): string {
  try {
    return realpathSync(directory);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw usage(`evaluating symlinks in build context path: lstat ${directory}: ${reason(error)}`);
  }
}

/**
 * `Containerfile`, else `Dockerfile`, in a directory; a file given as context is the Containerfile itself.
 * @param name what messages call the directory
 */
function discover(path: string, name = path): string {
  const status = tryStat(path);
  if (!status) throw usage(`discovering Containerfile: stat ${path}: no such file or directory`);
  if (!status.isDirectory()) return path;
  for (const name of ['Containerfile', 'Dockerfile']) {
    const file = join(path, name);
    const found = tryStat(file);
    if (found?.isFile()) return file;
    if (found) throw usage(`assumed Containerfile "${join(name, file.slice(path.length))}" is not a file`);
  }
  throw usage(
    `cannot find Containerfile or Dockerfile in context directory: stat ${join(name, 'Dockerfile')}: no such file or directory`,
  );
}

function tryStat(path: string) {
  try {
    return statSync(path);
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

/** Reads the files of `-f`: paths from here or from the context, URLs, stdin; `.in` files go through cpp. */
export async function readContainerfiles(
  context: CommandContext,
  source: OpenContext,
): Promise<ContainerfileText[]> {
  const texts: ContainerfileText[] = [];
  for (const file of source.files) texts.push(await readContainerfile(context, source, file));
  return texts;
}

async function readContainerfile(
  context: CommandContext,
  source: OpenContext,
  file: string,
): Promise<ContainerfileText> {
  const { io, flags, signal } = context;
  const given = await readGiven(context, source, file);
  if (!file.endsWith('.in')) return given;
  const text = await preprocess(given.text, {
    name: file,
    contextDirectory: source.directory,
    flags: [
      ...(io.environment.BUILDAH_CPPFLAGS?.split(/\s+/).filter(Boolean) ?? []),
      ...flags.list('cpp-flag'),
    ],
    path: io.environment.PATH,
    signal,
    onWarning: (warning) => logLine(context, 'warning', warning),
  });
  return { ...given, text };
}

async function readGiven(
  context: CommandContext,
  source: OpenContext,
  file: string,
): Promise<ContainerfileText> {
  const { io, signal } = context;
  if (file === '-' || file === '/dev/stdin')
    return { name: '/dev/stdin', text: await readLimited(io.stdin as Readable, 'stdin') };
  if (/^https?:\/\//.test(file)) {
    const response = await proxiedFetch(io.environment)(file, { signal });
    if (!response.ok) throw usage(`reading ${file}: invalid response status ${response.status}`);
    return { name: file, text: checked(file, await readLimited(response.body ?? [], file)) };
  }
  const path = locate(io.workingDirectory, source, file);
  const name = shown(source, io.workingDirectory, path);
  const status = statSync(path);
  if (status.isDirectory())
    throw usage(`containerfile: "${source.name ? name : path}" cannot be path to a directory`);
  if (status.isFile() && status.size > LIMIT_BYTES)
    throw usage(`${source.name ? name : path} is larger than ${LIMIT_BYTES} bytes`);
  if (!status.isFile() && !path.startsWith('/dev/') && !path.startsWith('/proc/') && !status.isFIFO())
    throw usage(`assumed Containerfile "${path}" is not a file`);
  const text = decodeContainerfile(readFileSync(path));
  return { name, path, text: checked(source.name ? name : path, text) };
}

async function readLimited(stream: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, name: string) {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > LIMIT_BYTES) throw usage(`${name} is larger than ${LIMIT_BYTES} bytes`);
    chunks.push(chunk);
  }
  return decodeContainerfile(Buffer.concat(chunks));
}

/** From here first, then from the context, as Buildah looks. */
function locate(
  workingDirectory: string,
  { directory, name = directory }: OpenContext,
  file: string,
): string {
  const here = resolve(workingDirectory, file);
  let failure: NodeJS.ErrnoException | undefined;
  for (const path of [here, join(directory, file)]) {
    try {
      statSync(path);
      return path;
    } catch (error) {
      if (!isSystemError(error)) throw error;
      failure = error;
    }
    if (file.startsWith(directory)) break;
  }
  throw usage(`stat ${join(name, file)}: ${reason(failure as NodeJS.ErrnoException)}`);
}

function reason(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOTDIR') return 'not a directory';
  return error.code === 'ENOENT' ? 'no such file or directory' : error.message;
}

function shown({ directory, name, isFile }: OpenContext, workingDirectory: string, path: string): string {
  if (name !== undefined && path.startsWith(`${directory}/`))
    return isFile ? name : path.slice(directory.length + 1);
  return path.startsWith(`${workingDirectory}/`) ? path.slice(workingDirectory.length + 1) : path;
}

function checked(name: string, text: string): string {
  if (text === '') throw usage(`no contents in "${name}"`);
  return text;
}
