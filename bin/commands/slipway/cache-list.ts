import {
  type CacheMount,
  findCaches,
  listCaches,
  removeCache,
  removeLeftovers,
} from '../../../build/caches/list.ts';
import type { CommandSpec } from '../../cli/contract.ts';
import { formatByteSize } from '../../cli/duration.ts';
import { UsageError } from '../../cli/error.ts';
import { renderTable } from '../../cli/table.ts';
import { cacheDirectory } from '../buildah/cache-directory.ts';
import { humanDuration } from '../buildah/human-duration.ts';

export const list: CommandSpec = {
  name: 'ls',
  summary: 'List cache mounts',
  usage: '[flags]',
  args: { max: 0 },
  flags: [
    { name: 'json', kind: 'bool', usage: 'print JSON' },
    { name: 'quiet', short: 'q', kind: 'bool', usage: 'print keys alone' },
  ],
  run: async (context) => {
    const { flags } = context;
    const caches = listCaches(cacheDirectory(context));
    if (flags.bool('json')) context.print(JSON.stringify(caches, undefined, 2));
    else if (flags.bool('quiet')) for (const { key } of caches) context.print(key);
    else context.io.stdout.write(renderTable([HEADER, ...caches.map((cache) => row(cache, new Date()))]));
  },
};

const HEADER = ['KEY', 'NAME', 'OWNER', 'FILES', 'SIZE', 'USED', ''];

function row(cache: CacheMount, now: Date): string[] {
  const age = now.getTime() - cache.lastUsed.getTime();
  return [
    cache.key,
    cache.name ?? '-',
    cache.uid === undefined ? '-' : `${cache.uid}:${cache.gid}`,
    String(cache.fileCount),
    formatByteSize(cache.sizeBytes),
    `${humanDuration(age)} ago`,
    cache.inUse ? 'in use' : '',
  ];
}

export const prune: CommandSpec = {
  name: 'prune',
  summary: 'Remove cache mounts that no RUN uses now',
  description: 'Prints the keys of what was removed. Without names every cache mount is meant.',
  usage: '[flags] [NAME|KEY...]',
  flags: [
    { name: 'older-than', kind: 'duration', usage: 'remove only what was not used for this `DURATION`' },
  ],
  run: async (context) => {
    const parent = cacheDirectory(context);
    const now = new Date();
    await removeLeftovers(parent, now);
    const limit = context.flags.changed('older-than') ? context.flags.number('older-than') : undefined;
    for (const cache of chosenCaches(listCaches(parent), context.args)) {
      if (limit !== undefined && now.getTime() - cache.lastUsed.getTime() < limit) continue;
      if (await removeCache(parent, cache.key)) context.print(cache.key);
      else context.note(`${cache.key} (${cache.name ?? 'no name'}) is in use and stays`);
    }
  },
};

/** The caches that words name; all of them for no words. @throws UsageError */
export function chosenCaches(caches: readonly CacheMount[], words: readonly string[]): readonly CacheMount[] {
  if (words.length === 0) return caches;
  return words.flatMap((word) => {
    const found = findCaches(caches, word);
    if (found.length === 0)
      throw new UsageError('usage', `no cache mount is called ${word}`, {
        hint: 'slipway cache ls lists them',
      });
    return found;
  });
}
