import { type Digest, tryParseDigest } from '../../image/digest.ts';
import type { Compression } from '../../image/media-type.ts';
import type { ContainerRecord, ImageRecord, LayerRecord } from './contract.ts';
import type { Row } from './database.ts';
import { readIdMappings, type StoredIdRange } from './id-mappings.ts';

/** A row of layers.json with the names the original gives its fields; fields of later versions stay in the object. */
export interface LayerRow extends Row {
  parent?: string;
  metadata?: string;
  mountlabel?: string;
  created?: string;
  'compressed-diff-digest'?: string;
  'compressed-size'?: number;
  'diff-digest'?: string;
  'diff-size'?: number;
  'toc-digest'?: string;
  compression?: number;
  uidset?: number[];
  gidset?: number[];
  flags?: Record<string, unknown>;
  uidmap?: StoredIdRange[];
  gidmap?: StoredIdRange[];
  'big-data-names'?: string[];
}

/** What images and containers keep about their big data. */
export interface BigDataRow extends Row {
  'big-data-names'?: string[];
  'big-data-sizes'?: Record<string, number>;
  'big-data-digests'?: Record<string, string>;
}

/** A row of images.json. */
export interface ImageRow extends BigDataRow {
  digest?: string;
  'names-history'?: string[];
  layer?: string;
  'mapped-layers'?: string[];
  metadata?: string;
  created?: string;
  flags?: Record<string, unknown>;
}

/** A row of containers.json. */
export interface ContainerRow extends BigDataRow {
  image: string;
  layer: string;
  metadata?: string;
  created?: string;
  uidmap?: StoredIdRange[];
  gidmap?: StoredIdRange[];
  flags?: Record<string, unknown>;
}

/** archive.Compression of containers/storage; records name only what layers of images have. */
const COMPRESSIONS: Readonly<Record<number, Compression>> = { 0: 'none', 2: 'gzip', 4: 'zstd' };
const COMPRESSION_NUMBERS = { none: 0, bzip2: 1, gzip: 2, xz: 3, zstd: 4 } as const;
const ZERO_TIME = '0001-01-01T00:00:00Z';

export function compressionNumber(compression: keyof typeof COMPRESSION_NUMBERS): number {
  return COMPRESSION_NUMBERS[compression];
}

export function layerRecord(row: LayerRow, readOnly: boolean): LayerRecord {
  const diffId = digestOrNone(row['diff-digest']);
  return {
    id: row.id,
    names: [...(row.names ?? [])],
    parent: row.parent || undefined,
    mountLabel: row.mountlabel || undefined,
    created: row.created ?? ZERO_TIME,
    diffId,
    diffSize: diffId === undefined && !row['toc-digest'] ? -1 : (row['diff-size'] ?? 0),
    compressedDigest: digestOrNone(row['compressed-diff-digest']),
    compressedSize: row['compressed-size'],
    compression: COMPRESSIONS[row.compression ?? 0],
    tocDigest: digestOrNone(row['toc-digest']),
    uids: row.uidset,
    gids: row.gidset,
    readOnly,
    flags: row.flags ?? undefined,
    bigDataNames: row['big-data-names'] ?? undefined,
    idMappings: readIdMappings(row.uidmap, row.gidmap),
  };
}

/** Shares the lists of the row, which are never changed in place: thousands of copies cost a listing more than its rows. */
export function imageRecord(row: ImageRow, readOnly: boolean): ImageRecord {
  return {
    id: row.id,
    digest: digestOrNone(row.digest) ?? imageDigests(row)[0],
    names: row.names ?? [],
    namesHistory: row['names-history'] ?? [],
    topLayer: row.layer || undefined,
    mappedTopLayers: row['mapped-layers'] ?? undefined,
    metadata: row.metadata ?? '',
    bigDataNames: row['big-data-names'] ?? [],
    bigDataSizes: row['big-data-sizes'] ?? {},
    bigDataDigests: (row['big-data-digests'] ?? {}) as Record<string, Digest>,
    created: row.created ?? ZERO_TIME,
    readOnly,
  };
}

/** The digests an image can be found by: its own, and those of every big data whose key starts with `manifest`. */
export function imageDigests(row: ImageRow): Digest[] {
  const digests = new Set<Digest>();
  const own = digestOrNone(row.digest);
  if (own !== undefined) digests.add(own);
  for (const [key, value] of Object.entries(row['big-data-digests'] ?? {}).sort()) {
    const digest = key.startsWith('manifest') ? digestOrNone(value) : undefined;
    if (digest !== undefined) digests.add(digest);
  }
  return [...digests];
}

export function containerRecord(row: ContainerRow): ContainerRecord {
  return {
    id: row.id,
    names: [...(row.names ?? [])],
    imageId: row.image ?? '',
    layerId: row.layer,
    metadata: row.metadata ?? '',
    bigDataNames: [...(row['big-data-names'] ?? [])],
    created: row.created ?? ZERO_TIME,
    idMappings: readIdMappings(row.uidmap, row.gidmap),
    flags: row.flags ?? undefined,
  };
}

function digestOrNone(text: string | undefined): Digest | undefined {
  return text ? tryParseDigest(text) : undefined;
}
