import type { IdMappings, IdRange } from '../layer/contract.ts';

/** A range as layers.json and containers.json have it. */
export interface StoredIdRange {
  readonly container_id: number;
  readonly host_id: number;
  readonly size: number;
}

/** Undefined where neither list has a range. */
export function readIdMappings(
  uids: readonly StoredIdRange[] | null | undefined,
  gids: readonly StoredIdRange[] | null | undefined,
): IdMappings | undefined {
  if ((uids?.length ?? 0) === 0 && (gids?.length ?? 0) === 0) return undefined;
  return { uids: (uids ?? []).map(fromStored), gids: (gids ?? []).map(fromStored) };
}

/** The two fields of a record; absent where there is no mapping. */
export function storeIdMappings(mappings: IdMappings | undefined): {
  uidmap?: StoredIdRange[];
  gidmap?: StoredIdRange[];
} {
  if (mappings === undefined) return {};
  return {
    ...(mappings.uids.length > 0 ? { uidmap: mappings.uids.map(toStored) } : {}),
    ...(mappings.gids.length > 0 ? { gidmap: mappings.gids.map(toStored) } : {}),
  };
}

/** The host's ids for root of the container. */
export function rootIds(mappings: IdMappings | undefined): { uid: number; gid: number } {
  const map = (ranges: readonly IdRange[]) => ranges.find((range) => range.containerId === 0)?.hostId ?? 0;
  return { uid: map(mappings?.uids ?? []), gid: map(mappings?.gids ?? []) };
}

function fromStored(range: StoredIdRange): IdRange {
  return { containerId: range.container_id, hostId: range.host_id, size: range.size };
}

function toStored(range: IdRange): StoredIdRange {
  return { container_id: range.containerId, host_id: range.hostId, size: range.size };
}
