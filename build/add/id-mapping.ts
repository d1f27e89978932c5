import type { IdMappings, IdRange } from '../../store/layer/contract.ts';
import { BuildError } from '../error.ts';
import type { Owner } from './owner.ts';

/** Ids of a container as the host has them. @throws BuildError `bad-user` for one that has no mapping */
export function toHost(mappings: IdMappings | undefined, owner: Owner): Owner {
  if (!mappings) return { uid: owner.uid, gid: owner.gid };
  return {
    uid: mapped(mappings.uids, owner.uid, 'containerId', 'hostId'),
    gid: mapped(mappings.gids, owner.gid, 'containerId', 'hostId'),
  };
}

/** The reverse of {@link toHost}. */
export function toContainer(mappings: IdMappings, owner: Owner): Owner {
  return {
    uid: mapped(mappings.uids, owner.uid, 'hostId', 'containerId'),
    gid: mapped(mappings.gids, owner.gid, 'hostId', 'containerId'),
  };
}

type IdKey = 'containerId' | 'hostId';

function mapped(ranges: readonly IdRange[], id: number, from: IdKey, to: IdKey): number {
  if (ranges.length === 0) return id;
  const range = ranges.find((entry) => id >= entry[from] && id < entry[from] + entry.size);
  if (!range) throw new BuildError('bad-user', `id ${id} has no mapping in the container's user namespace`);
  return range[to] + (id - range[from]);
}
