import { readFileSync } from 'node:fs';
import { ifThere } from '../../errors.ts';
import { StoreError } from '../error.ts';
import { writeFileDurably } from './durable.ts';
import type { LockFile } from './lock-file.ts';

/** An entry of mountpoints.json. */
export interface MountCount {
  readonly id: string;
  readonly path: string;
  readonly count: number;
}

/** Which layers are mounted where and how often: `mountpoints.json` in the run root, gone after a reboot. */
export class MountCounts {
  readonly #path: string;
  readonly #lock: LockFile;

  constructor(path: string, lock: LockFile) {
    this.#path = path;
    this.#lock = lock;
  }

  async get(id: string, signal?: AbortSignal): Promise<MountCount | undefined> {
    return (await this.all(signal)).find((entry) => entry.id === id);
  }

  async all(signal?: AbortSignal): Promise<MountCount[]> {
    const hold = await this.#lock.acquire('read', signal);
    try {
      return this.#load();
    } finally {
      hold.release();
    }
  }

  /** Replaces the entry of layer `id` by what `change` makes of it; undefined or a count of zero removes it. */
  async update(
    id: string,
    change: (current: MountCount | undefined) => Promise<MountCount | undefined>,
  ): Promise<MountCount | undefined> {
    const hold = await this.#lock.acquire('write');
    try {
      const entries = this.#load();
      const current = entries.find((entry) => entry.id === id);
      const next = await change(current);
      if (current === undefined && next === undefined) return undefined;
      const rest = entries.filter((entry) => entry.id !== id);
      if (next !== undefined && next.count > 0) rest.push(next);
      hold.recordWrite();
      writeFileDurably(this.#path, JSON.stringify(rest), { sync: false });
      return next;
    } finally {
      hold.release();
    }
  }

  #load(): MountCount[] {
    const text = ifThere(() => readFileSync(this.#path, 'utf8'), 'ENOENT');
    if (!text) return [];
    try {
      const entries = JSON.parse(text) as MountCount[] | null;
      return (entries ?? []).filter((entry) => entry.path !== '' && entry.count > 0);
    } catch (cause) {
      throw new StoreError(
        'corrupt-store',
        `loading ${JSON.stringify(this.#path)}: ${(cause as Error).message}`,
        {
          cause,
          hint: `unmount what is mounted from the store, then remove ${this.#path}`,
        },
      );
    }
  }
}
