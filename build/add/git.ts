import { spawn } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { S_IF } from '../../store/kernel/index.ts';
import type { BuildSurroundings } from '../container/contract.ts';
import { BuildError } from '../error.ts';
import type { RemoteOptions } from './contract.ts';
import { type GitSource, parseGitSource } from './git-source.ts';
import { redact } from './redact.ts';
import { fromText, RootedDirectory, toText } from './rooted.ts';
import { openAgent } from './ssh-agent.ts';

/** A repository that was checked out. */
export interface Checkout {
  /** The repository, or the directory in it that is asked for, below the directory that was given; no link. */
  readonly name: string;
  readonly keepGitDirectory: boolean | undefined;
  /** Of the commit, where the source asks for it; else 0. */
  readonly modifiedMs: number;
}

/**
 * Checks a repository out into a directory: the one commit that is asked for, without history.
 * @throws BuildError `missing-file`, `bad-option` for another commit than the one expected, `bad-argument`
 */
export async function checkOut(
  source: string,
  directory: string,
  options: RemoteOptions,
  surroundings: BuildSurroundings,
): Promise<Checkout> {
  const parsed = parseGitSource(source);
  const { keepGitDirectory } = parsed;
  if (keepGitDirectory !== undefined && (options.keepGitDirectory ?? keepGitDirectory) !== keepGitDirectory)
    throw new BuildError('bad-argument', `"${redact(source)}" and --keep-git-dir contradict each other`);
  await using agent = isSsh(parsed.repository) ? await agentFor(options, surroundings) : undefined;
  using git = new Git(source, parsed.repository, options, surroundings, agent?.socket);
  const clone = join(directory, 'repository');
  await git.run(directory, 'init', '-q', clone);
  await git.run(clone, 'remote', 'add', 'origin', parsed.repository);
  await git.run(clone, 'fetch', '-q', '-u', '--depth=1', 'origin', '--', wantedRef(parsed));
  await git.run(clone, 'checkout', '-q', 'FETCH_HEAD');
  checkCommit(source, parsed, options.checksum, (await git.run(clone, 'rev-parse', 'HEAD')).trim());
  if (parsed.submodules)
    await git.run(clone, 'submodule', 'update', '-q', '--init', '--recursive', '--depth=1');
  const date = parsed.commitTimes ? await git.run(clone, 'log', '-1', '--format=%ct') : '0';
  const below = directoryBelow(clone, parsed.directory, source);
  return { name: join('repository', below), keepGitDirectory, modifiedMs: Number(date) * 1000 };
}

/** SECURITY B09: neither `..` nor a link of the repository leads out of it. */
function directoryBelow(clone: string, wanted: string, source: string): string {
  using root = new RootedDirectory(clone);
  const resolved = root.resolve(fromText(wanted));
  const status = root.status(resolved, false);
  if (status && (status.mode & S_IF.mask) === S_IF.directory) return toText(resolved);
  const why = status ? 'not a directory' : 'no such file or directory';
  throw new BuildError('missing-file', `reading "${redact(source)}": ${JSON.stringify(wanted)}: ${why}`);
}

function isSsh(repository: string): boolean {
  return /^(?:ssh:\/\/|[\w.-]+@)/.test(repository);
}

function agentFor({ sshPaths }: RemoteOptions, surroundings: BuildSurroundings) {
  const { temporaryDirectory, environment } = surroundings;
  return sshPaths && openAgent(sshPaths, { temporaryDirectory, path: environment.PATH });
}

function wantedRef({ ref, commit, fetchByCommit }: GitSource): string {
  if (commit !== undefined && (fetchByCommit || ref === '')) return commit;
  return ref || 'HEAD';
}

function checkCommit(
  source: string,
  { commit }: GitSource,
  checksum: string | undefined,
  found: string,
): void {
  for (const expected of [commit, checksum])
    if (expected !== undefined && !found.startsWith(expected))
      throw new BuildError(
        'bad-option',
        `expected checksum ${expected} of "${redact(source)}" but its commit is ${found}`,
      );
}

/** Variables of the user that git may see: what reaches keys, proxies and certificates, nothing that changes what git does. */
const PASSED =
  /^(?:PATH|HOME|USER|LOGNAME|LANG|LC_\w+|TMPDIR|SSH_AUTH_SOCK|SSL_CERT_(?:FILE|DIR)|GIT_SSL_CA(?:INFO|PATH)|(?:https?|no|all)_proxy)$/i;

/**
 * Runs git without anyone's configuration, hooks or prompts, and over network protocols alone (SECURITY B11, B12).
 * A credential reaches it in a configuration file that has no name, never in arguments or the environment.
 */
class Git implements Disposable {
  readonly #source: string;
  readonly #surroundings: BuildSurroundings;
  readonly #configuration: number | undefined;
  /** Socket of the ssh agent instead of the user's. */
  readonly #agent: string | undefined;

  constructor(
    source: string,
    repository: string,
    options: RemoteOptions,
    surroundings: BuildSurroundings,
    agent: string | undefined,
  ) {
    this.#source = source;
    this.#agent = agent;
    this.#surroundings = surroundings;
    this.#configuration = configurationFile(repository, options, surroundings);
  }

  run(directory: string, ...args: readonly string[]): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const { signal } = this.#surroundings;
    const child = spawn('git', ['-c', 'core.hooksPath=/dev/null', ...args], {
      cwd: directory,
      signal,
      env: this.#environment(),
      stdio: ['ignore', 'pipe', 'pipe', this.#configuration ?? 'ignore'],
    });
    const output: Buffer[] = [];
    const errors: Buffer[] = [];
    child.stdout?.on('data', (chunk: Buffer) => output.push(chunk));
    child.stderr?.on('data', (chunk: Buffer) => errors.push(chunk));
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(Buffer.concat(output).toString());
      else reject(this.#failure(args[0] as string, Buffer.concat(errors).toString()));
    });
    return promise;
  }

  #environment(): Record<string, string | undefined> {
    const { environment } = this.#surroundings;
    return {
      ...Object.fromEntries(Object.entries(environment).filter(([name]) => PASSED.test(name))),
      ...(this.#agent === undefined ? {} : { SSH_AUTH_SOCK: this.#agent }),
      GIT_TERMINAL_PROMPT: '0',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: this.#configuration === undefined ? '/dev/null' : '/proc/self/fd/3',
      GIT_ALLOW_PROTOCOL: 'http:https:ssh:git',
      GIT_SSH_COMMAND: 'ssh -o BatchMode=yes',
    };
  }

  #failure(command: string, errors: string): BuildError {
    const last = errors.trim().split('\n').at(-1) ?? '';
    return new BuildError(
      'missing-file',
      `cloning "${redact(this.#source)}": git ${command}: ${redact(last)}`,
    );
  }

  [Symbol.dispose](): void {
    if (this.#configuration !== undefined) closeSync(this.#configuration);
  }
}

/** An open file without a name that sends a header to the repository's server, where there is one to send. */
function configurationFile(
  repository: string,
  { authorization }: RemoteOptions,
  { temporaryDirectory }: BuildSurroundings,
): number | undefined {
  if (!/^https?:/.test(repository)) return undefined;
  const url = new URL(repository);
  const header = authorization?.('git', url);
  if (header === undefined) return undefined;
  const directory = mkdtempSync(join(temporaryDirectory, 'slipway-git-'));
  const path = join(directory, 'config');
  try {
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
    unlinkSync(path);
    const escaped = header.replaceAll(/[\\"]/g, '\\$&');
    writeSync(fd, `[http "${url.origin}/"]\n\textraHeader = "Authorization: ${escaped}"\n`);
    return fd;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
