import { createHash, type Hash } from 'node:crypto';
import { constants, zstdCompressSync } from 'node:zlib';
import type { RingReader, RingWriter } from './byte-ring.ts';
import { digestText, type TocChunk, type TocEntry, tocEntry, tocFileEntries } from './chunked-toc.ts';
import { type ChunkSink, ContentChunker } from './content-chunks.ts';
import type { TarEntry } from './tar-entry.ts';
import { TarReader } from './tar-reader.ts';
import { TarSplitWriter } from './tar-split-format.ts';

const FRAME_LIMIT_BYTES = 4 << 20;
const SKIPPABLE_MAGIC = 0x184d2a50;
const FOOTER_MAGIC = Buffer.from('GNUlInUx');
const MANIFEST_TYPE = 1;
const ZEROS = new Uint8Array(1 << 16);
const KEY = 'io.github.containers.zstd-chunked.';

/**
 * Compresses a tar stream as zstd:chunked (containers/storage pkg/chunked): every chunk of a file in a frame of its
 * own, then the table of contents, the tar-split and a footer in skippable frames.
 * @returns the annotations of the layer's descriptor
 */
export function chunkedJob(
  args: { readonly level: number },
  input: RingReader,
  output: RingWriter,
  crc: (bytes: Buffer, previous: bigint) => bigint,
): Record<string, string> {
  const frames = new FrameWriter(output, args.level);
  const splitText: Buffer[] = [];
  const split = new TarSplitWriter((text) => splitText.push(text), true);
  const reader = new TarReader(input, (bytes) => {
    split.raw(bytes);
    frames.write(bytes);
  });
  const entries: TocEntry[] = [];
  for (let entry = reader.next(); entry; entry = reader.next()) {
    let sum = 0n;
    entries.push(
      ...packFile(entry, frames, () => {
        const view = reader.content();
        sum = crc(view, sum);
        return view;
      }),
    );
    split.entry(entry.name, entry.sizeBytes, sum);
  }
  reader.drain();
  split.end();
  frames.end();
  return writeEnd(frames, entries, Buffer.concat(splitText));
}

function packFile(entry: TarEntry, frames: FrameWriter, next: () => Buffer): TocEntry[] {
  if (entry.sizeBytes === 0) return [tocEntry(entry)];
  frames.end();
  const start = frames.written;
  const whole = createHash('sha256');
  const chunks = new FileChunks(frames, whole);
  const chunker = new ContentChunker(chunks);
  for (let view = next(); view.length > 0; view = next()) chunker.write(view);
  chunker.end();
  const place = { digest: digestText(whole), offset: start, endOffset: frames.written };
  return tocFileEntries(entry, place, chunks.found);
}

/** Follows the chunks of one file. */
class FileChunks implements ChunkSink {
  readonly found: TocChunk[] = [];
  readonly #frames: FrameWriter;
  readonly #whole: Hash;
  #hash = createHash('sha256');
  #offset: number;
  #chunkOffset = 0;
  #sizeBytes = 0;
  #isHole = false;

  constructor(frames: FrameWriter, whole: Hash) {
    this.#frames = frames;
    this.#whole = whole;
    this.#offset = frames.written;
  }

  data(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#whole.update(bytes);
    this.#frames.write(bytes);
    this.#sizeBytes += bytes.length;
  }

  hole(sizeBytes: number): void {
    for (let left = sizeBytes; left > 0; left -= ZEROS.length) this.data(ZEROS.subarray(0, left));
    this.#isHole = true;
  }

  border(): void {
    this.#frames.end();
    if (this.#sizeBytes === 0) return;
    this.found.push({
      chunkOffset: this.#chunkOffset,
      offset: this.#offset,
      chunkDigest: digestText(this.#hash),
      chunkSize: this.#sizeBytes,
      chunkType: this.#isHole ? 'zeros' : '',
    });
    this.#chunkOffset += this.#sizeBytes;
    this.#offset = this.#frames.written;
    this.#sizeBytes = 0;
    this.#isHole = false;
    this.#hash = createHash('sha256');
  }
}

/** Gathers bytes into zstd frames. */
class FrameWriter {
  readonly #output: RingWriter;
  readonly #level: number;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  /** Compressed bytes so far. */
  written = 0;

  constructor(output: RingWriter, level: number) {
    this.#output = output;
    this.#level = level;
  }

  write(bytes: Uint8Array): void {
    this.#pending.push(Buffer.from(bytes));
    this.#pendingBytes += bytes.length;
    if (this.#pendingBytes >= FRAME_LIMIT_BYTES) this.end();
  }

  /** Ends the frame; nothing is written where it is empty. */
  end(): void {
    if (this.#pendingBytes === 0) return;
    this.#emit(this.compress(Buffer.concat(this.#pending, this.#pendingBytes)));
    this.#pending = [];
    this.#pendingBytes = 0;
  }

  compress(bytes: Buffer): Buffer {
    return zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: this.#level } });
  }

  /** A frame that decoders pass over. @returns where its content starts */
  skippable(bytes: Buffer): number {
    const header = Buffer.alloc(8);
    header.writeUInt32LE(SKIPPABLE_MAGIC, 0);
    header.writeUInt32LE(bytes.length, 4);
    this.#emit(header);
    const start = this.written;
    this.#emit(bytes);
    return start;
  }

  finish(): void {
    this.#output.end();
  }

  #emit(bytes: Buffer): void {
    this.#output.write(bytes);
    this.written += bytes.length;
  }
}

function writeEnd(frames: FrameWriter, entries: TocEntry[], splitText: Buffer): Record<string, string> {
  const split = frames.compress(splitText);
  const tarSplitDigest = digestText(createHash('sha256').update(split));
  const plainToc = Buffer.from(JSON.stringify({ version: 1, entries, tarSplitDigest }));
  const toc = frames.compress(plainToc);
  const tocAt = frames.skippable(toc);
  const splitAt = frames.skippable(split);
  const numbers = [
    tocAt,
    toc.length,
    plainToc.length,
    MANIFEST_TYPE,
    splitAt,
    split.length,
    splitText.length,
  ];
  const footer = Buffer.alloc(64);
  for (const [index, number] of numbers.entries()) footer.writeBigUInt64LE(BigInt(number), index * 8);
  FOOTER_MAGIC.copy(footer, 56);
  frames.skippable(footer);
  frames.finish();
  return {
    [`${KEY}manifest-checksum`]: digestText(createHash('sha256').update(toc)),
    [`${KEY}manifest-position`]: `${tocAt}:${toc.length}:${plainToc.length}:${MANIFEST_TYPE}`,
    [`${KEY}tarsplit-position`]: `${splitAt}:${split.length}:${splitText.length}`,
  };
}
