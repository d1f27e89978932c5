import { type ChildProcess, spawn } from 'node:child_process';
import { isSystemError } from '../../errors.ts';
import { printable, SignError } from '../error.ts';

/** How the installed GnuPG is called. */
export interface GpgOptions {
  /** GNUPGHOME; absent: gpg's own default, from `environment`. */
  readonly home?: string;
  /** Default `gpg`, found on the environment's PATH. */
  readonly program?: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly signal?: AbortSignal;
}

export interface GpgSignOptions extends GpgOptions {
  /** A fingerprint, key id or user id, as `--sign-by` takes it. */
  readonly key: string;
  /** Given to gpg by a pipe, never as an argument; absent: gpg-agent asks. */
  readonly passphrase?: string;
}

/**
 * An inline signature over `content`, made by gpg with a secret key of its home.
 * @throws SignError `no-such-key`, `bad-passphrase`, `signing`
 */
export async function gpgSign(content: Uint8Array, options: GpgSignOptions): Promise<Uint8Array> {
  const { key, passphrase } = options;
  const result = await runGpg(
    [
      ...(passphrase === undefined ? [] : ['--pinentry-mode', 'loopback', '--passphrase-fd', '4']),
      ...['--local-user', key, '--sign', '--output', '-', '--', '-'],
    ],
    content,
    options,
    passphrase,
  );
  if (result.code === 0 && result.status.some((line) => line.startsWith('SIG_CREATED ')))
    return result.output;
  throw signingError(key, result);
}

/**
 * The fingerprint of the one secret key that a name means.
 * @throws SignError `no-such-key`, `signing`
 */
export async function gpgSecretKey(key: string, options: GpgOptions): Promise<string> {
  const result = await runGpg(['--with-colons', '--list-secret-keys', '--', key], undefined, options);
  const lines = Buffer.from(result.output).toString('latin1').split('\n');
  const fingerprint = lines.find((line) => line.startsWith('fpr:'))?.split(':')[9];
  if (result.code !== 0 || !fingerprint) throw noSuchKey(key, result.errors);
  return fingerprint;
}

/** True where gpg can be run. */
export async function hasGpg(options: GpgOptions): Promise<boolean> {
  try {
    return (await runGpg(['--version'], undefined, options)).code === 0;
  } catch (error) {
    if (error instanceof SignError) return false;
    throw error;
  }
}

interface GpgResult {
  readonly code: number | null;
  readonly output: Uint8Array;
  /** Lines of the machine-readable status channel without `[GNUPG:] `. */
  readonly status: readonly string[];
  readonly errors: string;
}

async function runGpg(
  args: readonly string[],
  input: Uint8Array | undefined,
  options: GpgOptions,
  passphrase?: string,
): Promise<GpgResult> {
  const home = options.home === undefined ? [] : ['--homedir', options.home];
  const child = spawn(
    options.program ?? 'gpg',
    [...home, '--batch', '--no-tty', '--no-armor', '--status-fd', '3', ...args],
    {
      stdio: ['pipe', 'pipe', 'pipe', 'pipe', 'pipe'],
      env: { ...options.environment, LC_ALL: 'C' },
      ...(options.signal && { signal: options.signal }),
    },
  );
  const [stdin, stdout, stderr, status, secret] = child.stdio as unknown as Channels;
  const chunks = { output: collect(stdout), errors: collect(stderr), status: collect(status) };
  // gpg may end without reading its input: the exit code tells then.
  for (const stream of [stdin, secret]) stream.on('error', () => {});
  stdin.end(input ?? '');
  secret.end(passphrase === undefined ? '' : `${passphrase}\n`);
  const code = await exitCode(child);
  return {
    code,
    output: Buffer.concat(chunks.output),
    errors: Buffer.concat(chunks.errors).toString(),
    status: Buffer.concat(chunks.status)
      .toString('latin1')
      .split('\n')
      .flatMap((line) => (line.startsWith('[GNUPG:] ') ? [line.slice(9)] : [])),
  };
}

type Channels = readonly [
  stdin: NodeJS.WritableStream,
  stdout: NodeJS.ReadableStream,
  stderr: NodeJS.ReadableStream,
  status: NodeJS.ReadableStream,
  secret: NodeJS.WritableStream,
];

function exitCode(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.on('close', resolve);
    child.on('error', (cause) =>
      reject(
        isSystemError(cause, 'ENOENT', 'EACCES')
          ? new SignError('signing', 'gpg is not installed or cannot be run', {
              cause,
              hint: 'install GnuPG, or sign with an armored key file instead',
            })
          : cause,
      ),
    );
  });
}

function collect(stream: NodeJS.ReadableStream): Buffer[] {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  return chunks;
}

function signingError(key: string, { status, errors }: GpgResult): SignError {
  const says = (word: string) => status.some((line) => line.startsWith(word));
  if (says('INV_SGNR') || says('NO_SECKEY')) return noSuchKey(key, errors);
  if (says('BAD_PASSPHRASE') || says('MISSING_PASSPHRASE') || /bad passphrase/i.test(errors))
    return new SignError('bad-passphrase', `bad passphrase for key ${printable(key)}`);
  return new SignError('signing', `gpg could not sign with key ${printable(key)}: ${lastLine(errors)}`);
}

function noSuchKey(key: string, errors: string): SignError {
  return new SignError('no-such-key', `no secret key ${printable(key)}: ${lastLine(errors)}`, {
    hint: 'list the keys with: gpg --list-secret-keys',
  });
}

function lastLine(text: string): string {
  return printable(text.trim().split('\n').at(-1) || 'gpg gave no reason').slice(1, -1);
}
