import { createHash } from 'node:crypto';
import type { NativeLibrary } from './libc.ts';

/** SHA256_CTX of OpenSSL takes 112. */
const CONTEXT_BYTES = 256;

/** A running SHA-256. */
export interface Sha256 {
  update(bytes: Uint8Array): void;
  /** On libuv's thread pool: the bytes must stay as they are, and no others may be given, until the promise is kept. */
  updateOnPool(bytes: Uint8Array): Promise<void>;
  digest(): Buffer;
}

/**
 * SHA-256 as OpenSSL computes it, which Node has inside and shows to its addons: node:crypto takes 7 ms to load, longer
 * than many a command works. Where a Node does not show it, node:crypto it is.
 */
export function sha256Maker(library: NativeLibrary): () => Sha256 {
  try {
    const init = library.func('SHA256_Init', 'int', ['void*']);
    const update = library.func('SHA256_Update', 'int', ['void*', 'void*', 'size_t']);
    const final = library.func('SHA256_Final', 'int', ['void*', 'void*']);
    return () => {
      const context = Buffer.alloc(CONTEXT_BYTES);
      init(context);
      return {
        update: (bytes) => void update(context, bytes, bytes.length),
        updateOnPool: (bytes) =>
          new Promise((resolve, reject) =>
            update.async(context, bytes, bytes.length, (error: Error | null) =>
              error ? reject(error) : resolve(),
            ),
          ),
        digest: () => {
          const digest = Buffer.alloc(32);
          final(digest, context);
          return digest;
        },
      };
    };
  } catch {
    return () => {
      const hash = createHash('sha256');
      return {
        update: (bytes) => void hash.update(bytes),
        updateOnPool: async (bytes) => void hash.update(bytes),
        digest: () => hash.digest(),
      };
    };
  }
}
