import { pipeline, type Readable, Transform } from 'node:stream';
import { algorithmOf, type Digest, finishDigest, startDigest } from '../../image/digest.ts';
import type { KnownCompression } from '../blob/compression.ts';
import { StoreError } from '../error.ts';
import type { IdMappings } from '../layer/contract.ts';
import type { StagedLayer } from './contract.ts';
import type { GraphDriver, StagedTree } from './driver.ts';
import { TemporaryDirectory } from './temporary-directory.ts';

export interface StageOptions {
  readonly parent?: string;
  readonly idMappings?: IdMappings;
  readonly expected?: { readonly diffId?: Digest; readonly compressedDigest?: Digest };
  readonly trustCompressedDigest?: boolean;
  readonly signal?: AbortSignal;
}

/** A staged layer with what the layer store needs to register it. */
export interface StagedLayerTree extends StagedLayer {
  readonly tree: StagedTree;
  readonly temporary: TemporaryDirectory;
  readonly idMappings?: IdMappings;
}

/**
 * Unpacks a tar, plain or compressed, into a temporary directory of the driver and checks its digests.
 * @throws StoreError `digest-mismatch`
 */
export async function stageTar(
  driver: GraphDriver,
  tar: Readable,
  options: StageOptions,
): Promise<StagedLayerTree> {
  const temporary = new TemporaryDirectory(driver.temporaryRoots[0]!);
  try {
    const counted = countAndHash(options);
    pipeline(tar, counted.through, () => {});
    // Loads streams and zlib, which most commands do without.
    const { detectAndDecompress } = await import('../blob/compression.ts');
    const { stream, compression } = await detectAndDecompress(counted.through);
    const tree = await driver.stage(stream, temporary, options);
    const { digest, sizeBytes } = counted.finish();
    const staged = stagedLayer(tree, temporary, {
      compression,
      compressedDigest: digest,
      compressedSize: sizeBytes,
      idMappings: options.idMappings,
    });
    checkDigest('compressed digest', options.expected?.compressedDigest, staged.compressedDigest);
    checkDigest('diffID', options.expected?.diffId, staged.diffId);
    return staged;
  } catch (error) {
    tar.destroy();
    await temporary[Symbol.asyncDispose]();
    throw error;
  }
}

export function stagedLayer(
  tree: StagedTree,
  temporary: TemporaryDirectory,
  facts: {
    readonly compression: KnownCompression;
    readonly compressedDigest: Digest;
    readonly compressedSize: number;
    readonly idMappings?: IdMappings;
  },
): StagedLayerTree {
  return {
    tree,
    temporary,
    diffId: tree.result.diffId,
    diffSize: tree.result.sizeBytes,
    ...facts,
    [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose](),
  };
}

function checkDigest(what: string, expected: Digest | undefined, actual: Digest): void {
  if (expected === undefined || expected === actual) return;
  throw new StoreError('digest-mismatch', `the layer's ${what} is ${actual}, not ${expected} as expected`, {
    hint: 'the blob is damaged or not the one that was asked for; fetch it again',
  });
}

function countAndHash({ expected, trustCompressedDigest }: StageOptions): {
  through: Transform;
  finish: () => { digest: Digest; sizeBytes: number };
} {
  const wanted = expected?.compressedDigest;
  const trusted = trustCompressedDigest ? wanted : undefined;
  const algorithm = wanted === undefined ? 'sha256' : algorithmOf(wanted);
  const hash = trusted === undefined ? startDigest(algorithm) : undefined;
  let sizeBytes = 0;
  const through = new Transform({
    highWaterMark: 1 << 18,
    transform(chunk: Buffer, _encoding, done) {
      sizeBytes += chunk.length;
      hash?.update(chunk);
      done(null, chunk);
    },
  });
  return { through, finish: () => ({ digest: trusted ?? finishDigest(hash!, algorithm), sizeBytes }) };
}
