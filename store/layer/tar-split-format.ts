/**
 * tar-split (github.com/vbatts/tar-split, as containers/storage stores it): JSON lines that describe a tar stream
 * without the contents of its files. Type 1 is a file whose content lies in the tree, with the CRC-64 of its bytes;
 * type 2 is a piece of the stream itself.
 */
const FILE = 1;
const SEGMENT = 2;

/** Sends finished pieces of the JSON text on, to be compressed. */
export type TextSink = (text: Buffer<ArrayBuffer>) => void;

const TEXT_BYTES = 1 << 18;
const SEGMENT_LIMIT_BYTES = 1 << 18;

/** Writes tar-split while a stream passes by: {@link raw} for what is not content, {@link entry} for each content. */
export class TarSplitWriter {
  readonly #sink: TextSink;
  #segments: Buffer[] = [];
  #segmentBytes = 0;
  #text = '';
  #position = 0;
  readonly #checksum = Buffer.alloc(8);

  readonly #everyEntry: boolean;

  /**
   * @param everyEntry a line for entries without content too, as readers of zstd:chunked want; without them, entries
   * that occur twice (`a` and `a/`) do not trouble readers that refuse a name they have seen
   */
  constructor(sink: TextSink, everyEntry = false) {
    this.#sink = sink;
    this.#everyEntry = everyEntry;
  }

  /** Bytes of the stream; copied, so that views of reused memory may be given. */
  raw(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += SEGMENT_LIMIT_BYTES) {
      const piece = Buffer.from(bytes.subarray(at, at + SEGMENT_LIMIT_BYTES));
      if (this.#segmentBytes + piece.length > SEGMENT_LIMIT_BYTES) this.#flushSegment();
      this.#segments.push(piece);
      this.#segmentBytes += piece.length;
    }
  }

  /**
   * An entry's content, by the entry's name in latin1; it follows the headers given so far.
   * @returns the position of its line
   */
  entry(name: string, sizeBytes: number, crc64: bigint): number {
    if (sizeBytes === 0 && !this.#everyEntry) return -1;
    this.#flushSegment();
    this.#checksum.writeBigUInt64BE(crc64);
    const content =
      sizeBytes === 0
        ? '"payload":null'
        : `"size":${sizeBytes},"payload":"${this.#checksum.toString('base64')}"`;
    return this.#line(`{"type":${FILE},${nameField(name)},${content}`);
  }

  end(): void {
    this.#flushSegment();
    this.#flushText();
  }

  #flushSegment(): void {
    if (this.#segmentBytes === 0) return;
    const bytes = this.#segments.length === 1 ? this.#segments[0]! : Buffer.concat(this.#segments);
    this.#segments = [];
    this.#segmentBytes = 0;
    this.#line(`{"type":${SEGMENT},"payload":"${bytes.toString('base64')}"`);
  }

  #line(start: string): number {
    const position = this.#position;
    this.#text += `${start},"position":${position}}\n`;
    this.#position += 1;
    if (this.#text.length >= TEXT_BYTES) this.#flushText();
    return position;
  }

  #flushText(): void {
    if (this.#text === '') return;
    // Memory of its own, which can be handed to another thread.
    const text = Buffer.allocUnsafeSlow(Buffer.byteLength(this.#text));
    text.write(this.#text);
    this.#sink(text);
    this.#text = '';
  }
}

/** A content that is no longer in the tree, and the position of the line that says it is. */
export interface EmbeddedContent {
  readonly position: number;
  readonly bytes: Uint8Array;
}

/** Turns the lines of contents that are not in the tree any more into segments that carry them. */
export function embedContents(text: string, contents: readonly EmbeddedContent[]): string {
  const byPosition = new Map(contents.map(({ position, bytes }) => [position, bytes]));
  const lines = text.split('\n');
  for (const [position, bytes] of byPosition) {
    const payload = Buffer.from(bytes).toString('base64');
    lines[position] = `{"type":${SEGMENT},"payload":"${payload}","position":${position}}`;
  }
  return lines.join('\n');
}

function nameField(name: string): string {
  if (!/[^\x00-\x7f]/.test(name)) return `"name":${JSON.stringify(name)}`;
  const bytes = Buffer.from(name, 'latin1');
  const text = bytes.toString('utf8');
  if (Buffer.from(text).equals(bytes)) return `"name":${JSON.stringify(text)}`;
  return `"name_raw":"${bytes.toString('base64')}"`;
}

/** One line of tar-split, read. */
export type TarSplitLine =
  | { readonly kind: 'segment'; readonly bytes: Buffer }
  | { readonly kind: 'file'; readonly name: string; readonly sizeBytes: number; readonly crc64: bigint };

/** Nearly all lines look like these two; those that do not are JSON all the same. */
const SEGMENT_START = `{"type":${SEGMENT},"payload":"`;
const PLAIN_FILE =
  /^\{"type":1,"name":"([ !#-[\]-~]*)","size":(\d{1,15}),"payload":"([A-Za-z0-9+/]{11}=)","position":\d+\}$/;

/**
 * @param line its bytes as latin1
 * @throws Error for a line that is no tar-split; callers name the layer
 */
export function parseTarSplitLine(line: string): TarSplitLine {
  const bytes = line.startsWith(SEGMENT_START) ? plainSegment(line) : undefined;
  if (bytes) return { kind: 'segment', bytes };
  const file = PLAIN_FILE.exec(line);
  if (!file) return parseJsonLine(Buffer.from(line, 'latin1').toString('utf8'));
  const crc64 = Buffer.from(file[3]!, 'base64').readBigUInt64BE();
  return { kind: 'file', name: file[1]!, sizeBytes: Number(file[2]), crc64 };
}

/** The bytes of a segment whose line has no escapes and nothing unexpected behind them. */
function plainSegment(line: string): Buffer | undefined {
  const end = line.indexOf('"', SEGMENT_START.length);
  if (line.includes('\\') || !/^","position":\d+\}$/.test(line.slice(end))) return undefined;
  return Buffer.from(line.slice(SEGMENT_START.length, end), 'base64');
}

function parseJsonLine(line: string): TarSplitLine {
  const json = JSON.parse(line) as {
    type?: unknown;
    name?: unknown;
    name_raw?: unknown;
    size?: unknown;
    payload?: unknown;
  };
  const payload = Buffer.from(typeof json.payload === 'string' ? json.payload : '', 'base64');
  if (json.type === SEGMENT) return { kind: 'segment', bytes: payload };
  if (json.type !== FILE) throw new Error(`unknown tar-split entry type ${String(json.type)}`);
  const sizeBytes = json.size ?? 0;
  if (typeof sizeBytes !== 'number' || !Number.isSafeInteger(sizeBytes) || sizeBytes < 0)
    throw new Error('bad size in tar-split');
  if (sizeBytes > 0 && payload.length !== 8) throw new Error('bad checksum in tar-split');
  return {
    kind: 'file',
    name: nameOf(json),
    sizeBytes,
    crc64: sizeBytes > 0 ? payload.readBigUInt64BE() : 0n,
  };
}

function nameOf(json: { name?: unknown; name_raw?: unknown }): string {
  if (typeof json.name_raw === 'string' && json.name_raw !== '')
    return Buffer.from(json.name_raw, 'base64').toString('latin1');
  if (typeof json.name === 'string') return Buffer.from(json.name).toString('latin1');
  throw new Error('a tar-split file without a name');
}
