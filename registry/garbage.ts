import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ContentDirectory } from './content.ts';
import type { Repositories } from './repositories.ts';
import type { Uploads } from './uploads.ts';

/** What {@link collectGarbage} removed. */
export interface GarbageReport {
  readonly uploads: number;
  readonly blobs: number;
  readonly bytes: number;
}

/**
 * Removes upload sessions, temporary files and blobs that no repository holds, where they were not touched for
 * `ageMs`: a blob between its upload and its first link is younger.
 */
export async function collectGarbage(
  state: {
    readonly content: ContentDirectory;
    readonly repositories: Repositories;
    readonly uploads: Uploads;
  },
  options: { readonly ageMs: number; readonly now: number },
): Promise<GarbageReport> {
  const uploads = await state.uploads.collect(options.ageMs, options.now);
  const { content } = state;
  await removeOld(content, join(content.root, 'tmp'), options, new Set());
  const held = await heldContent(content, await allRepositories(content));
  let [blobs, bytes] = [0, 0];
  for (const algorithm of await content.list(join(content.root, 'blobs'))) {
    const removed = await removeOld(content, join(content.root, 'blobs', algorithm), options, held);
    blobs += removed.count;
    bytes += removed.bytes;
  }
  return { uploads, blobs, bytes };
}

async function removeOld(
  content: ContentDirectory,
  directory: string,
  { ageMs, now }: { readonly ageMs: number; readonly now: number },
  keep: ReadonlySet<string>,
): Promise<{ count: number; bytes: number }> {
  let [count, bytes] = [0, 0];
  for (const name of await content.list(directory)) {
    if (keep.has(name)) continue;
    const found = await stat(join(directory, name)).catch(() => undefined);
    if (!found || now - found.mtimeMs < ageMs) continue;
    await content.remove(join(directory, name));
    count += 1;
    bytes += found.size;
  }
  return { count, bytes };
}

/** Hex names of everything that some repository links. */
async function heldContent(content: ContentDirectory, names: readonly string[]): Promise<Set<string>> {
  const held = new Set<string>();
  for (const name of names)
    for (const kind of ['_blobs', '_manifests'])
      for (const algorithm of await content.list(content.repositoryPath(name, kind)))
        for (const hex of await content.list(content.repositoryPath(name, kind, algorithm))) held.add(hex);
  return held;
}

async function allRepositories(content: ContentDirectory): Promise<string[]> {
  const found: string[] = [];
  const visit = async (name: string): Promise<void> => {
    const entries = await content.list(content.repositoryPath(name));
    if (entries.some((entry) => entry.startsWith('_'))) found.push(name);
    for (const entry of entries)
      if (!entry.startsWith('_')) await visit(name === '' ? entry : `${name}/${entry}`);
  };
  await visit('');
  return found;
}
