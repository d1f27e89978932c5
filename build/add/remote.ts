import { chmodSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { BuildSurroundings } from '../container/contract.ts';
import { BuildError } from '../error.ts';
import type { RemoteOptions } from './contract.ts';
import { download } from './download.ts';
import { checkOut } from './git.ts';
import { redact } from './redact.ts';

/** Downloaded content in a temporary directory, removed when disposed. */
export interface RemoteContent extends AsyncDisposable {
  readonly directory: string;
  /** File, or directory of a repository, below {@link directory}; no link leads there. */
  readonly name: string;
  /** Milliseconds since the epoch; 0: not known. */
  readonly modifiedMs: number;
  readonly keepGitDirectory?: boolean;
}

export function isRemoteSource(source: string): boolean {
  return /^https?:\/\//.test(source);
}

/** `git@host:path`, `git://…`, and http(s) URLs whose path ends in `.git`, with `#ref:subdirectory` or a query behind. */
export function isGitSource(source: string): boolean {
  if (/^(?:git:\/\/|git@|ssh:\/\/git@)/.test(source)) return true;
  return isRemoteSource(source) && /\.git(?:[#?]|$)/.test(source);
}

/** @throws BuildError `missing-file`, `bad-option`, `bad-argument` */
export async function fetchRemote(
  url: string,
  options: RemoteOptions,
  surroundings: BuildSurroundings,
): Promise<RemoteContent> {
  const directory = mkdtempSync(join(surroundings.temporaryDirectory, 'slipway-add-'));
  const dispose = {
    async [Symbol.asyncDispose]() {
      rmSync(directory, { recursive: true, force: true });
    },
  };
  try {
    if (isGitSource(url))
      return { directory, ...(await checkOut(url, directory, options, surroundings)), ...dispose };
    const name = fileNameOf(url);
    const modifiedMs = await download(url, join(directory, 'content'), options, surroundings);
    renameSync(join(directory, 'content'), join(directory, name));
    // What the originals give downloads, whatever the umask is here.
    chmodSync(join(directory, name), 0o600);
    return { directory, name, modifiedMs, ...dispose };
  } catch (error) {
    await dispose[Symbol.asyncDispose]();
    throw error;
  }
}

/** The last part of the decoded path, as a name that leads nowhere else (SECURITY B08). BuildKit has a name for none. */
function fileNameOf(url: string): string {
  let path = URL.parse(url)?.pathname ?? '';
  try {
    path = decodeURIComponent(path);
  } catch {
    // A lone percent sign stands for itself.
  }
  const name = path.split('/').filter(Boolean).at(-1) ?? '__unnamed__';
  const safe = name.replaceAll(/\p{Cc}/gu, '_');
  if (safe === '.' || safe === '..' || Buffer.byteLength(safe) > 255)
    throw new BuildError('bad-argument', `"${redact(url)}" ends in no file name`);
  return safe;
}
