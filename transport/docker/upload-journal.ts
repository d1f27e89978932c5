import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isSystemError } from '../../errors.ts';
import type { Digest } from '../../image/digest.ts';
import { ImageError } from '../../image/error.ts';
import { parseJsonObject } from '../../image/json.ts';

const MAX_ENTRIES = 512;
const MAX_AGE_MS = 7 * 86_400_000;

/**
 * Remembers on disk where unfinished uploads are, so that a run after a crash goes on with them. Entries are small
 * (an address each), at most 512 and a week old. A journal that cannot be written is no reason to fail.
 */
export class UploadJournal {
  readonly #directory: string;

  constructor(journalDirectory: string) {
    this.#directory = join(journalDirectory, 'uploads');
  }

  async find(repository: string, digest: Digest): Promise<URL | undefined> {
    try {
      const json = parseJsonObject(await readFile(this.#path(repository, digest)), {
        what: 'upload journal',
      });
      const { location } = json;
      return typeof location === 'string' && URL.canParse(location) ? new URL(location) : undefined;
    } catch (error) {
      if (isSystemError(error) || error instanceof ImageError) return undefined;
      throw error;
    }
  }

  async record(repository: string, digest: Digest, location: URL): Promise<void> {
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      const temporary = join(this.#directory, `.${randomUUID()}`);
      await writeFile(temporary, JSON.stringify({ repository, digest, location: location.href }), {
        mode: 0o600,
      });
      await rename(temporary, this.#path(repository, digest));
      await this.#prune();
    } catch (error) {
      if (!isSystemError(error)) throw error;
    }
  }

  async forget(repository: string, digest: Digest): Promise<void> {
    await rm(this.#path(repository, digest), { force: true }).catch(() => undefined);
  }

  async #prune(): Promise<void> {
    const names = await readdir(this.#directory);
    if (names.length <= MAX_ENTRIES && Math.random() > 0.02) return;
    const aged = await Promise.all(
      names.map(async (name) => {
        const path = join(this.#directory, name);
        return { path, ms: (await stat(path).catch(() => undefined))?.mtimeMs ?? 0 };
      }),
    );
    const newestFirst = aged.sort((a, b) => b.ms - a.ms);
    const oldest = (newestFirst[0]?.ms ?? 0) - MAX_AGE_MS;
    const old = newestFirst.filter(({ ms }, index) => index >= MAX_ENTRIES || ms < oldest);
    await Promise.all(old.map(({ path }) => rm(path, { force: true })));
  }

  #path(repository: string, digest: Digest): string {
    return join(this.#directory, createHash('sha256').update(`${repository} ${digest}`).digest('hex'));
  }
}
