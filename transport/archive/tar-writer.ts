import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { TransportError } from '../error.ts';

const BLOCK = 512;

/** Metadata of members; equal inputs give equal bytes. */
export interface MemberOptions {
  /** Default 0444. */
  readonly mode?: number;
  /** Seconds since the epoch; default 0. */
  readonly mtime?: number;
}

/** Writes a plain ustar archive of small names, as the image archive formats need. Members go one after another. */
export class TarWriter {
  readonly #out: Writable;
  readonly #signal: AbortSignal | undefined;

  /** @param out is ended by {@link end}; the caller destroys it after a failure */
  constructor(out: Writable, signal?: AbortSignal) {
    this.#out = out;
    this.#signal = signal;
  }

  /** @throws TransportError `size-mismatch` when the stream has another length than `size` bytes */
  async writeFile(name: string, size: number, stream: Readable, options: MemberOptions = {}): Promise<void> {
    await this.#write(header(name, '0', size, '', options));
    let written = 0;
    await pipeline(
      stream,
      async function* (chunks: AsyncIterable<Buffer>) {
        for await (const chunk of chunks) {
          written += chunk.length;
          yield chunk;
        }
        if (written !== size)
          throw new TransportError(
            'size-mismatch',
            `Size mismatch when copying ${name}, expected ${size}, got ${written}`,
          );
      },
      this.#out,
      { end: false, signal: this.#signal },
    );
    await this.#write(Buffer.alloc(-written & (BLOCK - 1)));
  }

  async writeBytes(name: string, bytes: Uint8Array, options: MemberOptions = {}): Promise<void> {
    const padding = Buffer.alloc(-bytes.length & (BLOCK - 1));
    await this.#write(Buffer.concat([header(name, '0', bytes.length, '', options), bytes, padding]));
  }

  async writeSymlink(name: string, target: string): Promise<void> {
    // containers/image gives links no permission bits.
    await this.#write(header(name, '2', 0, target, { mode: 0 }));
  }

  async writeDirectory(name: string, options: MemberOptions = {}): Promise<void> {
    await this.#write(header(`${name}/`, '5', 0, '', { mode: 0o755, ...options }));
  }

  /** Writes the end marker and ends the output. */
  async end(): Promise<void> {
    await this.#write(Buffer.alloc(2 * BLOCK));
    await new Promise<void>((resolve, reject) => {
      this.#out.once('error', reject);
      this.#out.end(() => resolve());
    });
  }

  async #write(bytes: Uint8Array): Promise<void> {
    this.#signal?.throwIfAborted();
    if (bytes.length === 0) return;
    await new Promise<void>((resolve, reject) => {
      this.#out.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }
}

/** Names over 100 bytes, such as those of sha512 blobs, go into a GNU long name before the header. */
function header(name: string, type: string, size: number, link: string, options: MemberOptions): Buffer {
  if (Buffer.byteLength(link) > 100) throw new Error(`archive link is too long: ${link}`);
  if (Buffer.byteLength(name) <= 100) return shortHeader(name, type, size, link, options);
  const bytes = Buffer.from(`${name}\0`);
  return Buffer.concat([
    shortHeader('././@LongLink', 'L', bytes.length, '', {}),
    bytes,
    Buffer.alloc(-bytes.length & (BLOCK - 1)),
    shortHeader(name.slice(0, 100), type, size, link, options),
  ]);
}

function shortHeader(name: string, type: string, size: number, link: string, options: MemberOptions): Buffer {
  const block = Buffer.alloc(BLOCK);
  block.write(name, 0, 100);
  block.write(octal(options.mode ?? 0o444, 8), 100);
  block.write(octal(0, 8), 108);
  block.write(octal(0, 8), 116);
  writeSize(block, size);
  block.write(octal(options.mtime ?? 0, 12), 136);
  block.write('        ', 148);
  block.write(type, 156);
  block.write(link, 157);
  block.write('ustar\0', 257);
  block.write('00', 263);
  block.write(octal(0, 8), 329);
  block.write(octal(0, 8), 337);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

function octal(value: number, length: number): string {
  return `${value.toString(8).padStart(length - 1, '0')}\0`;
}

/** Sizes from 8 GiB on are written in base 256, which every reader in use knows. */
function writeSize(block: Buffer, size: number): void {
  if (size < 8 ** 11) {
    block.write(octal(size, 12), 124);
    return;
  }
  block[124] = 0x80;
  block.writeUInt32BE(Math.floor(size / 2 ** 32), 128);
  block.writeUInt32BE(size >>> 0, 132);
}
