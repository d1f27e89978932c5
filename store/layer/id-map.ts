import { StoreError } from '../error.ts';
import type { IdRange } from './contract.ts';

type Side = 'containerId' | 'hostId';

/** An id of one side as the other side has it; undefined where no range covers it. Without ranges all ids are equal. */
export function mapId(ranges: readonly IdRange[] | undefined, id: number, from: Side): number | undefined {
  if (!ranges || ranges.length === 0) return id;
  const range = ranges.find((one) => id >= one[from] && id < one[from] + one.size);
  return range && range[from === 'hostId' ? 'containerId' : 'hostId'] + (id - range[from]);
}

/** The host's id for one of the container. @throws StoreError `bad-layer` where no range covers it */
export function toHost(ranges: readonly IdRange[] | undefined, id: number, what: 'uid' | 'gid'): number {
  return mapId(ranges, id, 'containerId') ?? unmapped(what, id, 'container', 'host');
}

/** The container's id for one of the host. @throws StoreError `bad-layer` where no range covers it */
export function toContainer(ranges: readonly IdRange[] | undefined, id: number, what: 'uid' | 'gid'): number {
  return mapId(ranges, id, 'hostId') ?? unmapped(what, id, 'host', 'container');
}

function unmapped(what: string, id: number, from: string, to: string): never {
  throw new StoreError('bad-layer', `the ${from} ${what} ${id} cannot be mapped to a ${to} ${what}`, {
    hint: 'Give the user a larger range in /etc/subuid and /etc/subgid.',
    facts: { [what]: id },
  });
}
