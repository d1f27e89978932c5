import { spawn } from 'node:child_process';
import { ImageError } from '../image/error.ts';
import { type JsonObject, parseJsonObject } from '../image/json.ts';
import { ConfigError } from './error.ts';

/** What is sent to a registry to prove who asks. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
  /** An OAuth 2 refresh token; used instead of the password where it is set. */
  readonly identityToken?: string;
}

export interface HelperOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Milliseconds before a helper that does not answer is killed; default 60,000 (it may ask the user something). */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

const OUTPUT_LIMIT_BYTES = 1024 * 1024;
const NOT_FOUND = 'credentials not found in native keychain';

/**
 * `docker-credential-<helper> get` (docker/docker-credential-helpers). Undefined where the helper knows none.
 * @throws ConfigError `credential-helper` when it is missing, fails, hangs or prints something else
 */
export async function helperGet(
  helper: string,
  server: string,
  options: HelperOptions,
): Promise<Credentials | undefined> {
  const result = await run(helper, 'get', server, options);
  if (result.status !== 0) {
    if (result.output.trim() === NOT_FOUND) return undefined;
    throw failed(helper, 'get', result.output);
  }
  const { Username: username, Secret: secret } = parseOutput(helper, 'get', result.output);
  if (typeof username !== 'string' || typeof secret !== 'string')
    throw failed(helper, 'get', 'it gave no Username and Secret');
  if (username === '<token>') return { username: '', password: '', identityToken: secret };
  return { username, password: secret };
}

/** @throws ConfigError `credential-helper` */
export async function helperStore(
  helper: string,
  server: string,
  credentials: Credentials,
  options: HelperOptions,
): Promise<void> {
  const { username: Username, password: Secret } = credentials;
  const input = JSON.stringify({ ServerURL: server, Username, Secret });
  const result = await run(helper, 'store', input, options);
  if (result.status !== 0) throw failed(helper, 'store', result.output);
}

/** True where the helper had something to erase. @throws ConfigError `credential-helper` */
export async function helperErase(helper: string, server: string, options: HelperOptions): Promise<boolean> {
  if ((await helperGet(helper, server, options)) === undefined) return false;
  const result = await run(helper, 'erase', server, options);
  if (result.status !== 0) throw failed(helper, 'erase', result.output);
  return true;
}

/** The servers that a helper has credentials for. @throws ConfigError `credential-helper` */
export async function helperList(helper: string, options: HelperOptions): Promise<string[]> {
  const result = await run(helper, 'list', '', options);
  if (result.status !== 0) throw failed(helper, 'list', result.output);
  return Object.keys(parseOutput(helper, 'list', result.output));
}

function parseOutput(helper: string, action: string, output: string): JsonObject {
  try {
    return parseJsonObject(output, { what: 'answer' });
  } catch (error) {
    // The text may hold a secret: it is not shown.
    if (error instanceof ImageError) throw failed(helper, action, 'its output is not a JSON object');
    throw error;
  }
}

function run(
  helper: string,
  action: string,
  input: string,
  { environment, timeoutMs = 60_000, signal }: HelperOptions,
): Promise<{ readonly status: number; readonly output: string }> {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(helper))
    throw new ConfigError('credential-helper', `invalid credential helper name ${JSON.stringify(helper)}`);
  return new Promise((resolve, reject) => {
    const child = spawn(`docker-credential-${helper}`, [action], {
      env: { ...environment } as NodeJS.ProcessEnv,
      stdio: ['pipe', 'pipe', 'inherit'],
      killSignal: 'SIGKILL',
      ...(signal ? { signal } : {}),
    });
    // Not spawn's own timeout: its timer stays, and keeps the process waiting, where the helper is not installed.
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    const chunks: Buffer[] = [];
    let size = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > OUTPUT_LIMIT_BYTES) child.kill('SIGKILL');
      else chunks.push(chunk);
    });
    // A helper that answers without reading its input closes the pipe early.
    child.stdin.on('error', () => undefined);
    child.on('error', (cause) => {
      clearTimeout(timer);
      reject(signal?.aborted ? signal.reason : failed(helper, action, cause.message, cause));
    });
    // What a killed helper had started keeps the pipe open; nothing more is wanted from it.
    child.on('exit', (status) => {
      clearTimeout(timer);
      if (status === null) child.stdout.destroy();
    });
    child.on('close', (status) => {
      if (status === null)
        reject(failed(helper, action, `it was killed, after ${timeoutMs} ms or too much output`));
      else resolve({ status, output: Buffer.concat(chunks).toString('utf8') });
    });
    child.stdin.end(input);
  });
}

function failed(helper: string, action: string, why: string, cause?: unknown): ConfigError {
  const text = why.trim().slice(0, 400) || 'it failed without a message';
  return new ConfigError(
    'credential-helper',
    `credential helper docker-credential-${helper} ${action}: ${JSON.stringify(text).slice(1, -1)}`,
    { cause, hint: 'correct credHelpers or credential-helpers, or install the helper' },
  );
}
