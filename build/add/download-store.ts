import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  copyFileSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { isSystemError } from '../../errors.ts';

/** What a server said about a download, by which it can say later that nothing changed. */
export interface Validators {
  readonly etag?: string;
  readonly lastModified?: string;
}

interface Entry extends Validators {
  readonly sha256: string;
}

const KEEP_MS = 30 * 24 * 3600 * 1000;

/** Earlier downloads by URL, in a directory of this user: {@link content} is kept as long as it is used every month. */
export class DownloadStore {
  readonly #directory: string;
  readonly #now: () => Date;

  constructor(directory: string, now: () => Date) {
    this.#directory = directory;
    this.#now = now;
  }

  /** What to ask the server with; undefined where nothing is kept. */
  find(url: string): Validators | undefined {
    try {
      statSync(this.#path(url, 'content'));
      return this.#entry(url);
    } catch (error) {
      if (isSystemError(error, 'ENOENT', 'ENOTDIR') || error instanceof SyntaxError) return undefined;
      throw error;
    }
  }

  /** Copies what is kept; false where it is not what was downloaded then. */
  take(url: string, path: string): boolean {
    const kept = this.#path(url, 'content');
    copyFileSync(kept, path, constants.COPYFILE_FICLONE);
    if (this.#entry(url)?.sha256 !== digestOfFile(path)) return false;
    const now = this.#now();
    utimesSync(kept, now, now);
    return true;
  }

  keep(url: string, path: string, validators: Validators): void {
    const temporary = join(this.#directory, `new-${process.pid}-${keyOf(url)}`);
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    rmSync(temporary, { recursive: true, force: true });
    mkdirSync(temporary, { mode: 0o700 });
    copyFileSync(path, join(temporary, 'content'), constants.COPYFILE_FICLONE);
    const entry: Entry = { ...validators, sha256: digestOfFile(path) };
    writeFileSync(join(temporary, 'entry.json'), JSON.stringify(entry));
    this.forget(url);
    try {
      renameSync(temporary, this.#path(url));
    } catch (error) {
      // Another build has put the same there in between.
      if (!isSystemError(error, 'ENOTEMPTY', 'EEXIST')) throw error;
      rmSync(temporary, { recursive: true, force: true });
    }
    this.#sweep();
  }

  forget(url: string): void {
    rmSync(this.#path(url), { recursive: true, force: true });
  }

  #path(url: string, name = ''): string {
    return join(this.#directory, keyOf(url), name);
  }

  #entry(url: string): Entry | undefined {
    const value: unknown = JSON.parse(readFileSync(this.#path(url, 'entry.json'), 'utf8'));
    return typeof value === 'object' && value !== null && 'sha256' in value ? (value as Entry) : undefined;
  }

  #sweep(): void {
    const limit = this.#now().getTime() - KEEP_MS;
    for (const name of readdirSync(this.#directory)) {
      const status = statSync(join(this.#directory, name, 'content'), { throwIfNoEntry: false });
      if (status && status.mtimeMs < limit)
        rmSync(join(this.#directory, name), { recursive: true, force: true });
    }
  }
}

/** The URL itself may hold a signature: only its digest is kept. */
function keyOf(url: string): string {
  return createHash('sha256').update(url).digest('hex');
}

function digestOfFile(path: string): string {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(1 << 18);
  const fd = openSync(path, 'r');
  try {
    for (let count = readSync(fd, buffer); count > 0; count = readSync(fd, buffer))
      hash.update(buffer.subarray(0, count));
  } finally {
    closeSync(fd);
  }
  return hash.digest('hex');
}
