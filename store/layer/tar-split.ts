import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { StoreError } from '../error.ts';
import { BLOCK_BYTES, singleUse } from '../kernel/passing-bytes.ts';
import { TreeAssembler } from './assemble-tree.ts';

/**
 * The exact tar stream that a tar-split describes, with file contents from `root`; ours and those that Podman wrote.
 * Checksums of contents are checked: a file that changed since ends the stream with StoreError `bad-layer`.
 *
 * The files are read by the calling thread, a block at a time: a worker thread would take longer to start than it takes
 * to read those of most layers.
 * @param tarSplitGz the compressed data, or the path of a file with it
 */
export function assembleLayer(tarSplitGz: Uint8Array | string, root: string): Readable {
  const source = typeof tarSplitGz === 'string' ? createReadStream(tarSplitGz) : Readable.from([tarSplitGz]);
  const text = source.pipe(createGunzip({ chunkSize: 1 << 17 }));
  source.on('error', (error: Error) => text.destroy(error));
  return Readable.from(blocksOf(text, root), { objectMode: false, highWaterMark: BLOCK_BYTES });
}

async function* blocksOf(text: AsyncIterable<Buffer>, root: string): AsyncGenerator<Buffer> {
  using assembler = new TreeAssembler(root);
  const blocks = new Blocks(assembler);
  try {
    for await (const piece of text) {
      assembler.add(piece);
      yield* blocks.full();
    }
  } catch (error) {
    throw asLayerError(error);
  }
  assembler.end();
  yield* blocks.full();
  if (blocks.rest.length > 0) yield blocks.rest;
}

class Blocks {
  readonly #assembler: TreeAssembler;
  #block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  #filled = 0;

  constructor(assembler: TreeAssembler) {
    this.#assembler = assembler;
  }

  /** Those that the text so far makes full. */
  *full(): Generator<Buffer> {
    for (;;) {
      this.#filled += this.#assembler.fill(this.#block.subarray(this.#filled));
      if (this.#filled < BLOCK_BYTES) return;
      const block = this.#block;
      this.#block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
      this.#filled = 0;
      yield singleUse(block);
    }
  }

  get rest(): Buffer {
    return this.#block.subarray(0, this.#filled);
  }
}

function asLayerError(error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (!/^(?:Z_|ERR_BUFFER)/.test(code)) return error;
  return new StoreError('bad-layer', 'the tar-split data of the layer is damaged', { cause: error });
}
