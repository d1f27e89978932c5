import {
  chmodSync,
  chownSync,
  createReadStream,
  createWriteStream,
  lstatSync,
  mkdtempSync,
  renameSync,
} from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress } from 'node:zlib';
import { detectAndDecompress } from '../../store/blob/compression.ts';
import { applyLayer } from '../../store/layer/apply.ts';
import { packLayer } from '../../store/layer/pack.ts';
import { removeTree } from '../../store/layer/remove-tree.ts';
import { BuildError } from '../error.ts';
import { type CacheIdentity, CacheLocks, cacheKey, openCaches } from './place.ts';

export const CACHE_ARTIFACT_TYPE = 'application/vnd.slipway.cache.v1';
export const CACHE_MEDIA_TYPE = 'application/vnd.slipway.cache.v1.tar+zstd';

/** Annotations of an exported cache. */
const NAME = 'slipway.cache.name';
const UID = 'slipway.cache.uid';
const GID = 'slipway.cache.gid';
const MODE = 'slipway.cache.mode';

const NAME_LIMIT = 4096;

/** Packs a cache into a file, while no RUN has it mounted. Gives the annotations that go with the file. */
export async function packCache(
  parent: string,
  cache: { readonly key: string; readonly path: string } & Partial<CacheIdentity>,
  file: string,
  signal?: AbortSignal,
): Promise<Record<string, string>> {
  using locks = new CacheLocks(parent, cache.key);
  await locks.exclude(signal);
  const { uid, gid, mode } = lstatSync(cache.path);
  const plain = new PassThrough({ highWaterMark: 1 << 20 });
  const compressor = createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 3 } });
  await Promise.all([
    pipeline(plain, compressor, createWriteStream(file, { flags: 'wx', mode: 0o600 }), { signal }),
    packLayer(cache.path, plain, { whiteouts: 'none', signal }).then(
      () => plain.end(),
      (error: unknown) => {
        plain.destroy(error as Error);
        throw error;
      },
    ),
  ]);
  return {
    [NAME]: cache.name ?? cache.key,
    [UID]: String(cache.uid ?? uid),
    [GID]: String(cache.gid ?? gid),
    [MODE]: (mode & 0o7777).toString(8),
  };
}

/** What an archive says that it holds. */
export interface PackedCache extends CacheIdentity {
  readonly mode: number;
}

/** Reads the annotations of an exported cache; undefined for something else. @throws BuildError `bad-argument` */
export function readPackedCache(
  annotations: Readonly<Record<string, string>> | undefined,
): PackedCache | undefined {
  const name = annotations?.[NAME];
  if (annotations === undefined || name === undefined) return undefined;
  const number = (key: string, pattern: RegExp, radix: number, limit: number) => {
    const text = annotations[key] ?? '';
    const value = Number.parseInt(text, radix);
    if (!pattern.test(text) || value > limit)
      throw new BuildError(
        'bad-argument',
        `the exported cache has a bad ${key}: ${JSON.stringify(text.slice(0, 40))}`,
      );
    return value;
  };
  if (name === '' || name.length > NAME_LIMIT || /[\u0000-\u001f\u007f]/.test(name))
    throw new BuildError('bad-argument', 'the exported cache has a bad name');
  return {
    name,
    uid: number(UID, /^\d{1,10}$/, 10, 0xffff_fffe),
    gid: number(GID, /^\d{1,10}$/, 10, 0xffff_fffe),
    mode: number(MODE, /^[0-7]{1,4}$/, 8, 0o7777),
  };
}

/**
 * Unpacks an exported cache beside its place, then puts it there while no RUN has the old one mounted. Nothing in the
 * archive reaches outside, devices are left out, and a failure leaves the old cache as it was.
 * @param limitBytes of the plain archive
 * @throws StoreError `bad-layer`, `unsafe-path`, `truncated`, `too-large`
 */
export async function unpackCache(
  parent: string,
  packed: PackedCache,
  file: string,
  limits: { readonly limitBytes: number; readonly limitEntries: number },
  signal?: AbortSignal,
): Promise<string> {
  openCaches(parent);
  const key = cacheKey(packed.name, packed.uid, packed.gid);
  const staging = mkdtempSync(join(parent, `import-${key}-`));
  try {
    const { stream } = await detectAndDecompress(createReadStream(file));
    await applyLayer(staging, stream, { whiteouts: 'delete', inUserNamespace: true, ...limits, signal });
    chmodSync(staging, packed.mode);
    chownSync(staging, packed.uid, packed.gid);
    await replace(parent, key, staging, packed, signal);
    return key;
  } finally {
    await removeTree(staging);
  }
}

async function replace(
  parent: string,
  key: string,
  staging: string,
  { name, uid, gid }: CacheIdentity,
  signal: AbortSignal | undefined,
): Promise<void> {
  using locks = new CacheLocks(parent, key);
  await locks.exclude(signal);
  const path = join(parent, key);
  const old = mkdtempSync(join(parent, `old-${key}-`));
  try {
    if (lstatSync(path, { throwIfNoEntry: false })) renameSync(path, old);
    renameSync(staging, path);
    locks.describe({ name, uid, gid });
  } finally {
    await removeTree(old);
  }
}
