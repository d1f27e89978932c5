import { StoreError } from '../error.ts';
import type { IdMappings } from '../layer/contract.ts';
import type { Rows } from './database.ts';
import { readIdMappings, sameMappings } from './id-mappings.ts';
import type { LayerRow } from './records.ts';

/** @throws StoreError `no-such-layer`, `ambiguous-id` */
export function mustFind(rows: Rows<LayerRow>, idOrName: string): LayerRow {
  const row = rows.find(idOrName);
  if (!row) throw noSuchLayer(idOrName);
  return row;
}

export function noSuchLayer(idOrName: string): StoreError {
  return new StoreError('no-such-layer', `layer not known: ${idOrName}`);
}

/** The ids that a layer has and those below it have not. */
export function mappingsToApply(row: LayerRow, parent: LayerRow | undefined): IdMappings | undefined {
  const own = readIdMappings(row.uidmap, row.gidmap);
  if (own === undefined || !row.parent) return undefined;
  return sameMappings(own, readIdMappings(parent?.uidmap, parent?.gidmap)) ? undefined : own;
}
