import { loadKoffi, type NativeFunction, type NativeLibrary } from '../kernel/libc.ts';
import { BLOCK_BYTES, singleUse } from '../kernel/passing-bytes.ts';
import type { BlockCompressor } from './gzip.ts';

interface Functions {
  readonly allocate: NativeFunction;
  readonly compress: NativeFunction;
  readonly bound: NativeFunction;
  readonly free: NativeFunction;
}

/** null: the machine has no libdeflate. */
let functions: Functions | null | undefined;

/**
 * gzip by the machine's libdeflate (https://github.com/ebiggers/libdeflate), which takes a third of zlib's time for the
 * same size. It has no streams, so each block becomes a gzip member of its own; members in a row are one gzip file.
 * Undefined where the machine does not have it.
 */
export function openLibdeflate(level: number): BlockCompressor | undefined {
  if (functions === undefined) functions = bind() ?? null;
  return functions ? new LibdeflateMembers(functions, level) : undefined;
}

function bind(): Functions | undefined {
  let library: NativeLibrary;
  try {
    library = loadKoffi().load('libdeflate.so.0');
  } catch {
    return undefined;
  }
  return {
    allocate: library.func('libdeflate_alloc_compressor', 'void*', ['int']),
    compress: library.func('libdeflate_gzip_compress', 'size_t', [
      'void*',
      'void*',
      'size_t',
      'void*',
      'size_t',
    ]),
    bound: library.func('libdeflate_gzip_compress_bound', 'size_t', ['void*', 'size_t']),
    free: library.func('libdeflate_free_compressor', 'void', ['void*']),
  };
}

interface Worker {
  readonly compressor: unknown;
  readonly output: Buffer;
}

/** A compressor does one block at a time: as many are made as there are blocks at a time. */
class LibdeflateMembers implements BlockCompressor {
  readonly blockBytes = BLOCK_BYTES;
  readonly #functions: Functions;
  readonly #level: number;
  readonly #idle: Worker[] = [];
  readonly #compressors: unknown[] = [];
  #isClosed = false;

  constructor(bound: Functions, level: number) {
    this.#functions = bound;
    this.#level = level;
  }

  async compress(block: Buffer): Promise<Buffer> {
    if (this.#isClosed) throw new Error('libdeflate is closed');
    const worker = this.#idle.pop() ?? this.#worker();
    const { compressor, output } = worker;
    const size = await new Promise<number>((resolve, reject) =>
      this.#functions.compress.async(
        compressor,
        block,
        block.length,
        output,
        output.length,
        (error: Error | null, result: number | bigint) => (error ? reject(error) : resolve(Number(result))),
      ),
    );
    if (size === 0) throw new Error('libdeflate found no room for its output');
    const member = singleUse(Buffer.from(output.subarray(0, size)));
    this.#idle.push(worker);
    return member;
  }

  close(): void {
    for (const compressor of this.#compressors.splice(0)) this.#functions.free(compressor);
    this.#idle.length = 0;
    this.#isClosed = true;
  }

  #worker(): Worker {
    const compressor = this.#functions.allocate(this.#level);
    if (!compressor) throw new Error(`libdeflate has no compressor of level ${this.#level}`);
    this.#compressors.push(compressor);
    return {
      compressor,
      output: Buffer.allocUnsafeSlow(Number(this.#functions.bound(compressor, this.blockBytes))),
    };
  }
}
