import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isSystemError } from '../../../errors.ts';
import { manifestDigest } from '../../../image/manifest.ts';
import { formatReference } from '../../../image/reference.ts';
import { SignError } from '../../../sign/error.ts';
import { formatPayload } from '../../../sign/payload.ts';
import type { ImageSigner } from '../../../transport/contract.ts';

/** How the `sq` command is called. */
export interface SequoiaOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly passphrase?: string;
  readonly creator: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly signal?: AbortSignal;
}

/** Simple signatures made by Sequoia's `sq` (1.0 or newer) with a key of its own store. */
export function createSequoiaSigner(fingerprint: string, options: SequoiaOptions): ImageSigner {
  const sign = (content: Uint8Array) => runSq(fingerprint, content, options);
  return {
    kind: 'simple',
    async prepare() {
      await sign(Buffer.from('{}'));
    },
    async sign(manifest, identity) {
      const payload = formatPayload('simple', {
        digest: manifestDigest(manifest),
        reference: formatReference(identity),
        creator: options.creator,
        timestamp: Math.floor(options.now() / 1000),
      });
      return { kind: 'simple', bytes: await sign(payload) };
    },
  };
}

async function runSq(fingerprint: string, content: Uint8Array, options: SequoiaOptions): Promise<Uint8Array> {
  const directory = await mkdtemp(join(tmpdir(), 'slipway-sq-'));
  try {
    const args = ['--batch', 'sign', '--message', '--binary', `--signer=${fingerprint}`];
    if (options.passphrase !== undefined) {
      const file = join(directory, 'passphrase');
      await writeFile(file, options.passphrase, { mode: 0o600 });
      args.push(`--password-file=${file}`);
    }
    return await collect(args, content, options);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function collect(args: readonly string[], content: Uint8Array, options: SequoiaOptions): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const child = spawn('sq', args, {
      stdio: 'pipe',
      env: { ...options.environment } as NodeJS.ProcessEnv,
      ...(options.signal ? { signal: options.signal } : {}),
    });
    const output: Buffer[] = [];
    const messages: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => messages.push(chunk));
    child.stdin.on('error', () => {});
    child.on('error', (cause) => reject(startError(cause)));
    child.on('close', (code) => {
      if (code === 0) resolve(Buffer.concat(output));
      else reject(new SignError('signing', `creating signature with sq: ${firstLine(messages, code)}`));
    });
    child.stdin.end(content);
  });
}

function startError(cause: Error): Error {
  if (!isSystemError(cause, 'ENOENT')) return cause;
  return new SignError('signing', 'Error using --sign-by-sq-fingerprint: the sq command is not installed', {
    cause,
    hint: 'install sequoia-sq, or sign with --sign-by and a key of GnuPG',
  });
}

function firstLine(messages: readonly Buffer[], code: number | null): string {
  const line = Buffer.concat(messages).toString().trim().split('\n').at(-1) ?? '';
  return line.replace(/[^\x20-\x7e]/g, '?') || `it ended with ${code}`;
}
