import { StoreError } from '../error.ts';
import type { IdRange } from './contract.ts';

/** The host's id for one of the container. @throws StoreError `bad-layer` where no range covers it */
export function toHost(ranges: readonly IdRange[] | undefined, id: number, what: 'uid' | 'gid'): number {
  if (!ranges || ranges.length === 0) return id;
  for (const { containerId, hostId, size } of ranges)
    if (id >= containerId && id < containerId + size) return hostId + (id - containerId);
  throw unmapped(what, id, 'container', 'host');
}

/** The container's id for one of the host. @throws StoreError `bad-layer` where no range covers it */
export function toContainer(ranges: readonly IdRange[] | undefined, id: number, what: 'uid' | 'gid'): number {
  if (!ranges || ranges.length === 0) return id;
  for (const { containerId, hostId, size } of ranges)
    if (id >= hostId && id < hostId + size) return containerId + (id - hostId);
  throw unmapped(what, id, 'host', 'container');
}

function unmapped(what: string, id: number, from: string, to: string): StoreError {
  return new StoreError('bad-layer', `the ${from} ${what} ${id} cannot be mapped to a ${to} ${what}`, {
    hint: 'Give the user a larger range in /etc/subuid and /etc/subgid.',
    facts: { [what]: id },
  });
}
