import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { isSystemError } from '../../errors.ts';
import { type Digest, encodedOf } from '../../image/digest.ts';
import { layerMediaType } from '../../image/media-type.ts';
import { peekCompression } from '../../store/blob/compression.ts';
import { BlobMeter } from '../../store/blob/verify.ts';
import type { ImageSource, TransportContext } from '../contract.ts';
import { DiffIdTap } from '../diff-id-tap.ts';
import { TransportError } from '../error.ts';
import { type LayerFile, MadeImageSource } from '../made-image.ts';
import type { TarballReference, TarballUpdate } from './reference.ts';

interface ReadLayer extends LayerFile {
  readonly diffId: Digest;
  /** Nanoseconds since the epoch. */
  readonly modified: bigint;
}

/**
 * Reads each file once to know what it is; standard input is kept in the temporary directory.
 * @throws TransportError `not-found`
 */
export async function openTarballSource(
  reference: TarballReference,
  context: TransportContext,
): Promise<ImageSource> {
  const temporary: string[] = [];
  const close = async () => {
    for (const path of temporary) await rm(path, { force: true });
  };
  try {
    const layers: ReadLayer[] = [];
    for (const path of reference.paths) {
      if (path === '-') temporary.push(await keepStandardInput(context));
      layers.push(await readLayer(path === '-' ? (temporary.at(-1) as string) : path, context.signal));
    }
    return new MadeImageSource(reference, layers, configOf(layers, context, reference.update), close);
  } catch (error) {
    await close();
    throw error;
  }
}

async function keepStandardInput({ temporaryDirectory, signal }: TransportContext): Promise<string> {
  const path = join(temporaryDirectory, `slipway-tarball-${randomBytes(8).toString('hex')}`);
  const file = createWriteStream(path, { flags: 'wx', mode: 0o600 });
  await pipeline(createReadStream('/dev/stdin'), file, { signal });
  return path;
}

async function readLayer(path: string, signal?: AbortSignal): Promise<ReadLayer> {
  const found = await stat(path, { bigint: true }).catch((cause: unknown) => {
    if (!isSystemError(cause, 'ENOENT')) throw cause;
    throw new TransportError(
      'not-found',
      `error opening ${JSON.stringify(path)}: no such file or directory`,
      {
        cause,
        facts: { path },
      },
    );
  });
  const { compression, stream } = await peekCompression(createReadStream(path, { highWaterMark: 1 << 20 }));
  const whole = new BlobMeter({ what: path });
  const tap = new DiffIdTap(compression);
  await pipeline(stream, whole, tap.resume(), { signal });
  const named = compression === 'none' || compression === 'zstd' ? compression : 'gzip';
  return {
    path,
    descriptor: { mediaType: layerMediaType('oci', named), digest: whole.info.digest, size: whole.sizeBytes },
    diffId: await tap.diffId,
    modified: found.mtimeNs,
  };
}

function configOf(layers: readonly ReadLayer[], { platform }: TransportContext, update: TarballUpdate) {
  let newest = 0n;
  for (const { modified } of layers) if (modified > newest) newest = modified;
  return {
    created: formatTime(newest),
    architecture: platform.architecture,
    os: platform.os,
    ...(update.config && { config: update.config }),
    rootfs: { type: 'layers' as const, diff_ids: layers.map(({ diffId }) => diffId) },
    history: layers.map(({ diffId, modified }) => ({
      created: formatTime(modified),
      created_by: `/bin/sh -c #(nop) ADD file:${encodedOf(diffId)} in /`,
      comment: update.comment ?? 'imported from tarball',
    })),
  };
}

/** RFC 3339 in UTC with nanoseconds, without trailing zeros, as Go writes it. */
function formatTime(nanoseconds: bigint): string {
  const seconds = new Date(Number(nanoseconds / 1_000_000_000n) * 1000).toISOString().slice(0, 19);
  const fraction = String(nanoseconds % 1_000_000_000n)
    .padStart(9, '0')
    .replace(/0+$/, '');
  return `${seconds}${fraction ? `.${fraction}` : ''}Z`;
}
