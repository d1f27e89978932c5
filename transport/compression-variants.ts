import type { Descriptor } from '../image/descriptor.ts';
import type { ImageIndex } from '../image/manifest.ts';
import { isIndexMediaType } from '../image/media-type.ts';
import { formatPlatform } from '../image/platform.ts';
import type { CompressionChoice } from './compress.ts';

/** Marks an image of an index whose layers are compressed with zstd, for clients that prefer it. */
const ZSTD_MARK = 'io.github.containers.compression.zstd';

/** An image that an index is to have once more, compressed otherwise. */
export interface Variant {
  readonly entry: Descriptor;
  readonly format: CompressionChoice['format'];
}

/** The images that an index lacks so that it has each platform in each of the formats (containers/image, copy/multiple.go). */
export function missingVariants(
  { manifests }: ImageIndex,
  formats: readonly CompressionChoice['format'][],
): Variant[] {
  const known = new Set(manifests.map((entry) => keyOf(entry, isMarked(entry) ? 'zstd' : 'gzip')));
  const variants: Variant[] = [];
  for (const entry of manifests) {
    if (!entry.platform || entry.artifactType || isIndexMediaType(entry.mediaType)) continue;
    for (const format of formats) {
      const key = keyOf(entry, format);
      if (known.has(key)) continue;
      known.add(key);
      variants.push({ entry, format });
    }
  }
  return variants;
}

/** The entry of a variant, marked where clients could not know its compression. */
export function variantEntry(
  { entry, format }: Variant,
  written: Pick<Descriptor, 'mediaType' | 'digest' | 'size'>,
): Descriptor {
  const annotations = Object.entries(entry.annotations ?? {}).filter(([key]) => key !== ZSTD_MARK);
  const mark = format === 'gzip' ? [] : [[ZSTD_MARK, 'true'] as const];
  const all = Object.fromEntries([...annotations, ...mark]);
  const { annotations: _old, ...rest } = entry;
  return { ...rest, ...written, ...(Object.keys(all).length ? { annotations: all } : {}) };
}

function isMarked({ annotations }: Descriptor): boolean {
  return annotations?.[ZSTD_MARK] === 'true';
}

function keyOf({ platform }: Descriptor, format: CompressionChoice['format']): string {
  return `${platform ? formatPlatform(platform) : ''} ${format === 'gzip' ? 'gzip' : 'zstd'}`;
}
