import type { IdMappings, IdRange } from '../layer/contract.ts';
import { mapId } from '../layer/id-map.ts';

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

/** The host's ids for those of a file in the container; one that has no mapping stays. */
export function hostIds(
  mappings: IdMappings | undefined,
  file: { readonly uid: number; readonly gid: number },
): { uid: number; gid: number } {
  const map = (ranges: readonly IdRange[] | undefined, id: number) => mapId(ranges, id, 'containerId') ?? id;
  return { uid: map(mappings?.uids, file.uid), gid: map(mappings?.gids, file.gid) };
}

/** The way back: from the host's ids to the container's. */
export function reversed({ uids, gids }: IdMappings): IdMappings {
  const turn = ({ containerId, hostId, size }: IdRange) => ({
    containerId: hostId,
    hostId: containerId,
    size,
  });
  return { uids: uids.map(turn), gids: gids.map(turn) };
}

/** True where both map every id the same way. */
export function sameMappings(a: IdMappings | undefined, b: IdMappings | undefined): boolean {
  const text = (mappings: IdMappings | undefined) =>
    JSON.stringify([mappings?.uids ?? [], mappings?.gids ?? []]);
  return text(a) === text(b);
}

function fromStored(range: StoredIdRange): IdRange {
  return { containerId: range.container_id, hostId: range.host_id, size: range.size };
}

function toStored(range: IdRange): StoredIdRange {
  return { container_id: range.containerId, host_id: range.hostId, size: range.size };
}
