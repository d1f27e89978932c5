import { Writable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

export interface OutputTeeOptions {
  /** Undefined: dropped. */
  readonly target: Writable | undefined;
  /** Stands in front of every line; empty: bytes go on as they come. */
  readonly prefix: string;
  readonly onText?: (text: string) => void;
}

const NEWLINE = 0x0a;
/** A line that is longer is cut: one without end must not fill memory. */
const LINE_LIMIT_BYTES = 64 * 1024;

/** What a command writes on its way to a stream, to listeners, or to both, no faster than the stream takes it. */
export class OutputTee extends Writable {
  readonly #options: OutputTeeOptions;
  readonly #decoder = new StringDecoder('utf8');
  #rest: Buffer = Buffer.alloc(0);

  constructor(options: OutputTeeOptions) {
    super({ decodeStrings: true });
    this.#options = options;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const text = this.#decoder.write(chunk);
    if (text !== '') this.#options.onText?.(text);
    const bytes = this.#options.prefix === '' ? chunk : this.#lines(chunk);
    if (bytes.length === 0 || !this.#options.target) done();
    else this.#options.target.write(bytes, () => done());
  }

  /** Writes what came without an end of line. */
  async flush(): Promise<void> {
    const text = this.#decoder.end();
    if (text !== '') this.#options.onText?.(text);
    const rest = this.#rest;
    this.#rest = Buffer.alloc(0);
    const { target, prefix } = this.#options;
    if (rest.length === 0 || !target) return;
    await new Promise<void>((resolve) =>
      target.write(Buffer.concat([Buffer.from(prefix), rest, Buffer.from('\n')]), () => resolve()),
    );
  }

  /** The whole lines so far, each with the prefix. */
  #lines(chunk: Buffer): Buffer {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const prefix = Buffer.from(this.#options.prefix);
    const parts: Buffer[] = [];
    let at = 0;
    for (let end = data.indexOf(NEWLINE, at); end >= 0; end = data.indexOf(NEWLINE, at)) {
      parts.push(prefix, data.subarray(at, end + 1));
      at = end + 1;
    }
    for (; data.length - at > LINE_LIMIT_BYTES; at += LINE_LIMIT_BYTES)
      parts.push(prefix, data.subarray(at, at + LINE_LIMIT_BYTES), Buffer.from('\n'));
    this.#rest = Buffer.from(data.subarray(at));
    return Buffer.concat(parts);
  }
}
