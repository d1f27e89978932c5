import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createWriteStream, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request as httpRequest } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { getCACertificates } from 'node:tls';
import { algorithmOf, parseDigest } from '../../image/digest.ts';
import type { BuildSurroundings } from '../container/contract.ts';
import { BuildError } from '../error.ts';
import type { AddOptions } from './contract.ts';

/** Downloaded content in a temporary directory, removed when disposed. */
export interface RemoteContent extends AsyncDisposable {
  readonly directory: string;
  /** File, or directory of a repository, below {@link directory}. */
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly modifiedMs: number;
}

export function isRemoteSource(source: string): boolean {
  return /^https?:\/\//.test(source);
}

/** `git@host:path`, `git://…`, and http(s) URLs whose path ends in `.git`, with `#ref:subdirectory` or a query behind. */
export function isGitSource(source: string): boolean {
  if (/^(?:git:\/\/|git@|ssh:\/\/git@)/.test(source)) return true;
  return isRemoteSource(source) && /\.git(?:[#?]|$)/.test(source);
}

/** @throws BuildError `missing-file`, `bad-option` */
export async function fetchRemote(
  url: string,
  options: AddOptions,
  surroundings: BuildSurroundings,
): Promise<RemoteContent> {
  const directory = mkdtempSync(join(surroundings.temporaryDirectory, 'slipway-add-'));
  const dispose = {
    async [Symbol.asyncDispose]() {
      rmSync(directory, { recursive: true, force: true });
    },
  };
  try {
    if (isGitSource(url)) {
      const name = await cloneRepository(url, directory, options.checksum, surroundings);
      return { directory, name, modifiedMs: 0, ...dispose };
    }
    const name = decodeURIComponent(new URL(url).pathname.split('/').filter(Boolean).at(-1) ?? 'index');
    const modifiedMs = await download(url, join(directory, 'content'), options, surroundings);
    const safe = name.replace(/\//g, '_');
    renameSync(join(directory, 'content'), join(directory, safe));
    return { directory, name: safe, modifiedMs, ...dispose };
  } catch (error) {
    await dispose[Symbol.asyncDispose]();
    throw error;
  }
}

async function download(
  url: string,
  path: string,
  options: AddOptions,
  surroundings: BuildSurroundings,
): Promise<number> {
  const retries = options.retries ?? 3;
  const delayMs = options.retryDelayMs ?? 2000;
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await downloadOnce(url, path, options, surroundings);
    } catch (cause) {
      surroundings.signal?.throwIfAborted();
      const error = downloadError(url, cause as NodeJS.ErrnoException);
      if (!error.retryable || attempt >= retries) throw error;
      surroundings.onWarning?.(
        `Failed, retrying in ${delayMs < 1000 ? `${delayMs}ms` : `${delayMs / 1000}s`} ... (${attempt + 1}/${retries}). Error: ${error.message}`,
      );
      await sleep(delayMs, undefined, { signal: surroundings.signal });
    }
  }
}

/** Told in the words that scripts look for; with several addresses tried Node's own message is empty. */
const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset by peer',
  ENOTFOUND: 'no such host',
  ETIMEDOUT: 'connection timed out',
  EHOSTUNREACH: 'no route to host',
  ENETUNREACH: 'network is unreachable',
};

function downloadError(url: string, cause: NodeJS.ErrnoException): BuildError {
  if (cause instanceof BuildError) return cause;
  const reason = REASONS[cause.code ?? ''] ?? cause.message;
  return new BuildError('missing-file', `reading "${redact(url)}": ${reason}`, { cause, retryable: true });
}

async function downloadOnce(
  url: string,
  path: string,
  options: AddOptions,
  surroundings: BuildSurroundings,
): Promise<number> {
  const response = await open(url, options, surroundings, 10);
  const expected = options.checksum ? parseDigest(options.checksum) : undefined;
  const hash = expected && createHash(algorithmOf(expected));
  await pipeline(
    response,
    async function* (source: AsyncIterable<Buffer>) {
      for await (const chunk of source) {
        hash?.update(chunk);
        yield chunk;
      }
    },
    createWriteStream(path),
    { signal: surroundings.signal },
  );
  const found = hash && `${expected.slice(0, expected.indexOf(':'))}:${hash.digest('hex')}`;
  if (found !== expected)
    throw new BuildError(
      'bad-option',
      `reading "${redact(url)}": unexpected response digest for "${redact(url)}": ${found}, want ${expected}`,
    );
  return Date.parse(response.headers['last-modified'] ?? '') || 0;
}

function open(
  url: string,
  options: AddOptions,
  surroundings: BuildSurroundings,
  redirects: number,
): Promise<IncomingMessage> {
  const secure = url.startsWith('https:');
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const headers = { 'user-agent': surroundings.docker.userAgent ?? 'slipway' };
  const { signal } = surroundings;
  const request = secure
    ? httpsRequest(url, { headers, signal, agent: secureAgent(options, surroundings) })
    : httpRequest(url, { headers, signal });
  request.on('error', (error: NodeJS.ErrnoException) => reject(untrusted(url, error)));
  request.on('response', (response) => {
    const status = response.statusCode ?? 0;
    const { location } = response.headers;
    if (status >= 300 && status < 400 && location) {
      response.resume();
      if (redirects === 0)
        reject(new BuildError('missing-file', `reading "${redact(url)}": too many redirects`));
      else open(new URL(location, url).href, options, surroundings, redirects - 1).then(resolve, reject);
    } else if (status < 200 || status >= 400) {
      response.resume();
      reject(
        new BuildError('missing-file', `reading "${redact(url)}": invalid response status ${status}`, {
          retryable: status >= 500 || status === 429,
        }),
      );
    } else resolve(response);
  });
  request.end();
  return promise;
}

const UNTRUSTED = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

/** Certificates of an unknown authority are told in the words that scripts look for. */
function untrusted(url: string, error: NodeJS.ErrnoException): Error {
  if (!UNTRUSTED.has(error.code ?? '')) return error;
  return new BuildError(
    'missing-file',
    `reading "${redact(url)}": tls: failed to verify certificate: x509: certificate signed by unknown authority`,
    { cause: error, retryable: true, hint: 'name its certificates with --cert-dir' },
  );
}

function secureAgent(options: AddOptions, { environment }: BuildSurroundings): Agent {
  const pick = (suffix: string) => {
    if (!options.certificateDirectory) return [];
    const directory = options.certificateDirectory;
    return readdirSync(directory)
      .filter((name) => name.endsWith(suffix))
      .map((name) => readFileSync(join(directory, name), 'utf8'));
  };
  const system = environment.SSL_CERT_FILE
    ? [readFileSync(environment.SSL_CERT_FILE, 'utf8')]
    : [...new Set([...getCACertificates('default'), ...getCACertificates('system')])];
  const certificates = pick('.cert');
  return new Agent({
    ca: [...system, ...pick('.crt')],
    ...(certificates.length ? { cert: certificates, key: pick('.key') } : {}),
    rejectUnauthorized: options.tlsVerify !== false,
    proxyEnv: environment as Record<string, string>,
  });
}

/** A repository, the branch, tag or commit of it, and the directory in it: `url#ref:directory` or BuildKit's query. */
export function parseGitSource(source: string): { repository: string; ref: string; directory: string } {
  const [beforeHash = '', fragment = ''] = source.split('#', 2);
  const question = beforeHash.indexOf('?');
  const query = new URLSearchParams(question < 0 ? '' : beforeHash.slice(question + 1));
  const repository = question < 0 ? beforeHash : beforeHash.slice(0, question);
  const colon = fragment.indexOf(':');
  const ref = colon < 0 ? fragment : fragment.slice(0, colon);
  const directory = colon < 0 ? '' : fragment.slice(colon + 1);
  return {
    repository,
    ref: ref || (query.get('commit') ?? query.get('tag') ?? query.get('branch') ?? query.get('ref') ?? ''),
    directory: directory || (query.get('subdir') ?? ''),
  };
}

async function cloneRepository(
  source: string,
  directory: string,
  checksum: string | undefined,
  surroundings: BuildSurroundings,
): Promise<string> {
  const { repository, ref, directory: below } = parseGitSource(source);
  const clone = join(directory, 'repository');
  const git = (...args: string[]) => runGit(args, clone, source, surroundings);
  await runGit(['init', '-q', clone], directory, source, surroundings);
  await git('remote', 'add', 'origin', repository);
  await git('fetch', '-q', '-u', '--depth=1', 'origin', '--', ref || 'HEAD');
  await git('checkout', '-q', 'FETCH_HEAD');
  const commit = (await git('rev-parse', 'HEAD')).trim();
  if (checksum && !commit.startsWith(checksum))
    throw new BuildError(
      'bad-option',
      `expected checksum ${checksum} of "${redact(source)}" but its commit is ${commit}`,
    );
  return `repository/${below}`;
}

function runGit(
  args: readonly string[],
  cwd: string,
  source: string,
  { environment, signal }: BuildSurroundings,
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const child = spawn('git', args, {
    cwd,
    signal,
    env: { ...environment, GIT_TERMINAL_PROMPT: '0', GIT_CONFIG_NOSYSTEM: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
  child.on('error', reject);
  child.on('close', (code) => {
    if (code === 0) resolve(Buffer.concat(output).toString());
    else
      reject(
        new BuildError(
          'missing-file',
          `cloning "${redact(source)}": git ${args[0]}: ${Buffer.concat(errors).toString().trim().split('\n').at(-1)}`,
        ),
      );
  });
  return promise;
}

/** A URL without user name and password. */
export function redact(url: string): string {
  return url.replace(/^([a-z+]+:\/\/)[^/@]*@/, '$1');
}
