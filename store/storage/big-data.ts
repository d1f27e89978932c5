import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ifThere } from '../../errors.ts';
import { type Digest, digestOf } from '../../image/digest.ts';
import { manifestDigest } from '../../image/manifest.ts';
import { writeFileDurably } from './durable.ts';
import { bigDataFileName } from './ids.ts';
import type { BigDataRow } from './records.ts';

/** Reads `<directory>/<key>`; undefined where there is no such data. */
export function readBigData(directory: string, key: string): Uint8Array | undefined {
  return ifThere(() => readFileSync(join(directory, bigDataFileName(key))), 'ENOENT');
}

/**
 * Writes big data and notes its size and digest in the row. Manifests of images have the manifest digest.
 * @returns true where the row changed and must be saved
 */
export function writeBigData(directory: string, row: BigDataRow, key: string, data: Uint8Array): boolean {
  writeFileDurably(bigDataPath(directory, key), data);
  return noteBigData(row, key, data);
}

export function bigDataPath(directory: string, key: string): string {
  return join(directory, bigDataFileName(key));
}

/** The second half of {@link writeBigData}, where the file is written with others. */
export function noteBigData(row: BigDataRow, key: string, data: Uint8Array): boolean {
  const digest: Digest = key.startsWith('manifest') ? manifestDigest(data) : digestOf(data);
  const known =
    row['big-data-names']?.includes(key) === true &&
    row['big-data-sizes']?.[key] === data.length &&
    row['big-data-digests']?.[key] === digest;
  if (known) return false;
  row['big-data-names'] = [...new Set([...(row['big-data-names'] ?? []), key])];
  row['big-data-sizes'] = { ...row['big-data-sizes'], [key]: data.length };
  row['big-data-digests'] = { ...row['big-data-digests'], [key]: digest };
  return true;
}
