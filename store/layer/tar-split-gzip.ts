import { promisify } from 'node:util';
import { gunzip, gzip, type ZlibOptions } from 'node:zlib';
import { StoreError } from '../error.ts';
import { storedMember } from './gzip-member.ts';
import { type EmbeddedContent, embedContents } from './tar-split-format.ts';

// Made where they are called: zlib takes milliseconds to load, and a build from the cache needs none.
const compress = (data: Uint8Array | string, options: ZlibOptions = {}) => promisify(gzip)(data, options);
const decompress = (data: Uint8Array, options: ZlibOptions) => promisify(gunzip)(data, options);
const LIMIT_BYTES = 512 << 20;
/** On a disk that takes no more room than the same compressed, and zlib takes milliseconds to load. */
const STORED_BYTES = 3072;

/**
 * Compresses tar-split text as it comes, on the zlib thread pool: each piece becomes a gzip member of its own, and
 * members in a row are one gzip stream (RFC 1952).
 */
export class TarSplitCompressor {
  readonly #parts: (Buffer | Promise<Buffer>)[] = [];
  #bytes = 0;

  /** Takes the text's memory over. */
  add(text: Uint8Array<ArrayBuffer>): void {
    if (text.length <= STORED_BYTES) {
      const member = storedMember(text);
      this.#bytes += member.length;
      this.#parts.push(member);
      return;
    }
    const part = compress(text, { level: 1 }).then((bytes) => {
      // Given back at once: a garbage collection may be long in coming.
      text.buffer.transfer(0);
      this.#bytes += bytes.length;
      return this.#bytes > LIMIT_BYTES ? Buffer.alloc(0) : bytes;
    });
    part.catch(() => {});
    this.#parts.push(part);
  }

  /**
   * @param replaced contents that the tree does not hold any more
   * @throws StoreError `too-large` for an archive whose headers alone exceed what is kept for a layer
   */
  async finish(replaced: readonly EmbeddedContent[] = []): Promise<Buffer> {
    const parts = await Promise.all(this.#parts.length > 0 ? this.#parts : [storedMember(Buffer.alloc(0))]);
    if (this.#bytes > LIMIT_BYTES)
      throw new StoreError(
        'too-large',
        `the headers and padding of the archive exceed ${LIMIT_BYTES} bytes compressed`,
      );
    const whole = Buffer.concat(parts);
    if (replaced.length === 0) return whole;
    const text = await decompress(whole, { maxOutputLength: LIMIT_BYTES });
    return compress(embedContents(text.toString('utf8'), replaced), { level: 1 });
  }
}
