import { createHash } from 'node:crypto';
import { loadKoffi, type NativeFunction } from './libc.ts';

/** SHA-256 over bytes that come in pieces. */
export interface RunningHash {
  /** Takes the next piece. It must stay as it is, and no other may be given, until the promise is kept. */
  update(bytes: Buffer): Promise<void>;
  /** In hex. */
  digest(): string;
}

interface Functions {
  readonly init: NativeFunction;
  readonly update: NativeFunction;
  readonly final: NativeFunction;
}

/** null: this Node does not show its OpenSSL. */
let functions: Functions | null | undefined;

/** A hash that is computed on libuv's thread pool, by the OpenSSL in Node; on this thread where there is none to call. */
export function poolHash(): RunningHash {
  functions ??= bind() ?? null;
  return functions ? new PoolHash(functions) : new OwnHash();
}

function bind(): Functions | undefined {
  try {
    const library = loadKoffi().load(null);
    return {
      init: library.func('SHA256_Init', 'int', ['void*']),
      update: library.func('SHA256_Update', 'int', ['void*', 'void*', 'size_t']),
      final: library.func('SHA256_Final', 'int', ['void*', 'void*']),
    };
  } catch {
    return undefined;
  }
}

/** More than the 112 bytes of a SHA256_CTX. */
const CONTEXT_BYTES = 256;

class PoolHash implements RunningHash {
  readonly #functions: Functions;
  readonly #context = Buffer.alloc(CONTEXT_BYTES);

  constructor(bound: Functions) {
    this.#functions = bound;
    bound.init(this.#context);
  }

  update(bytes: Buffer): Promise<void> {
    return new Promise((resolve, reject) =>
      this.#functions.update.async(this.#context, bytes, bytes.length, (error: Error | null) =>
        error ? reject(error) : resolve(),
      ),
    );
  }

  digest(): string {
    const digest = Buffer.alloc(32);
    this.#functions.final(digest, this.#context);
    return digest.toString('hex');
  }
}

/** On the calling thread. */
export class OwnHash implements RunningHash {
  readonly #hash = createHash('sha256');

  async update(bytes: Buffer): Promise<void> {
    this.#hash.update(bytes);
  }

  digest(): string {
    return this.#hash.digest('hex');
  }
}
