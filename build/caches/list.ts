import { type Dirent, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ifThere } from '../../errors.ts';
import { removeTree } from '../../store/layer/remove-tree.ts';
import { CacheLocks, isCacheKey } from './place.ts';

/** A cache mount that outlives builds. */
export interface CacheMount {
  readonly key: string;
  /** `id=`, else the target; undefined for a cache of Buildah's. */
  readonly name?: string;
  readonly uid?: number;
  readonly gid?: number;
  readonly path: string;
  readonly sizeBytes: number;
  readonly fileCount: number;
  readonly lastUsed: Date;
  /** A RUN has it mounted now. */
  readonly inUse: boolean;
}

/** The caches below a directory, the one last used first. */
export function listCaches(parent: string): CacheMount[] {
  return entriesOf(parent)
    .filter((entry) => entry.isDirectory() && isCacheKey(entry.name))
    .map((entry) => describe(parent, entry.name))
    .sort((a, b) => b.lastUsed.getTime() - a.lastUsed.getTime());
}

/** The caches that a name, a key, or the start of one means. */
export function findCaches(caches: readonly CacheMount[], given: string): CacheMount[] {
  const named = caches.filter(({ name, key }) => name === given || key === given);
  return named.length > 0 || given.length < 4 ? named : caches.filter(({ key }) => key.startsWith(given));
}

function describe(parent: string, key: string): CacheMount {
  const path = join(parent, key);
  using locks = new CacheLocks(parent, key);
  return {
    key,
    ...locks.about(),
    path,
    ...measure(path),
    lastUsed: locks.lastUsed() ?? lstatSync(path, { throwIfNoEntry: false })?.mtime ?? new Date(0),
    inUse: !locks.tryExclude(),
  };
}

function measure(root: string): { sizeBytes: number; fileCount: number } {
  let sizeBytes = 0;
  let fileCount = 0;
  const pending = [root];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop())
    for (const entry of entriesOf(directory)) {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) pending.push(path);
      else if (entry.isFile()) {
        fileCount += 1;
        sizeBytes += lstatSync(path, { throwIfNoEntry: false })?.size ?? 0;
      }
    }
  return { sizeBytes, fileCount };
}

/** What a RUN removes meanwhile is not there. */
function entriesOf(directory: string): Dirent[] {
  return ifThere(() => readdirSync(directory, { withFileTypes: true }), 'ENOENT', 'ENOTDIR') ?? [];
}

/** Removes a cache unless a RUN has it mounted; false where one has. */
export async function removeCache(parent: string, key: string): Promise<boolean> {
  using locks = new CacheLocks(parent, key);
  if (!locks.tryExclude()) return false;
  await removeTree(join(parent, key));
  return true;
}

const STAGING = /^(?:import|old)-[0-9a-f]{16}-/;
const STAGING_LIFE_MS = 86_400_000;

/** Removes what an import that was killed left. */
export async function removeLeftovers(parent: string, now: Date): Promise<void> {
  for (const { name } of entriesOf(parent)) {
    const path = join(parent, name);
    const age = now.getTime() - (lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? now.getTime());
    if (STAGING.test(name) && age > STAGING_LIFE_MS) await removeTree(path);
  }
}
