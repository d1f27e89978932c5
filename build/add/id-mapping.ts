import type { IdMappings, IdRange } from '../../store/layer/contract.ts';
import { mapId } from '../../store/layer/id-map.ts';
import { BuildError } from '../error.ts';
import type { Owner } from './owner.ts';

/** Ids of a container as the host has them. @throws BuildError `bad-user` for one that has no mapping */
export function toHost(mappings: IdMappings | undefined, owner: Owner): Owner {
  return both(mappings, owner, 'containerId');
}

/** The reverse of {@link toHost}. */
export function toContainer(mappings: IdMappings, owner: Owner): Owner {
  return both(mappings, owner, 'hostId');
}

function both(mappings: IdMappings | undefined, owner: Owner, from: 'containerId' | 'hostId'): Owner {
  const map = (ranges: readonly IdRange[] | undefined, id: number) => {
    const mapped = mapId(ranges, id, from);
    if (mapped !== undefined) return mapped;
    throw new BuildError('bad-user', `id ${id} has no mapping in the container's user namespace`);
  };
  return { uid: map(mappings?.uids, owner.uid), gid: map(mappings?.gids, owner.gid) };
}
