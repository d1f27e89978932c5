import { Writable } from 'node:stream';
import type { Descriptor } from '../../image/descriptor.ts';
import type { OnProgress, TransferEvent } from '../../transport/contract.ts';
import { formatByteSize } from './duration.ts';
import type { ImageProgress, ProgressRenderer, TextStream } from './progress.ts';
import { RateMeter } from './rate.ts';

const FRAME_MS = 100;
const BAR_CELLS = 24;

/** What of a terminal is used; sizes are asked for in every frame, since windows change. */
export interface Terminal {
  write(text: string): unknown;
  readonly columns?: number;
  readonly rows?: number;
}

interface Blob {
  readonly name: string;
  readonly size: number;
  readonly rate: RateMeter;
  bytes: number;
}

/**
 * Bars of the blobs that move, with a total below them. Blobs that are done leave a line above the bars. The cursor
 * stands below the bars between frames, so that an end at any time leaves the terminal usable.
 */
export class Bars implements ProgressRenderer {
  readonly #terminal: Terminal;
  readonly #warn: OnProgress;
  readonly #now: () => number;
  readonly #moving = new Map<string, Blob>();
  readonly #rate = new RateMeter();
  readonly #timer: NodeJS.Timeout;
  /** Lines that go above the bars with the next frame. */
  #above = '';
  #drawn = 0;
  #total = { bytes: 0, size: 0, moved: 0, blobs: 0, done: 0 };

  constructor(terminal: Terminal, warn: OnProgress, now: () => number = () => performance.now()) {
    this.#terminal = terminal;
    this.#warn = warn;
    this.#now = now;
    this.#timer = setInterval(() => this.#draw(), FRAME_MS).unref();
  }

  readonly onProgress = (event: TransferEvent): void => this.#take(event, '');

  image(title: string): ImageProgress {
    return { onProgress: (event) => this.#take(event, title), end: () => this.#forget(title) };
  }

  above(stream: TextStream): TextStream {
    if (!stream.isTTY) return stream;
    const lines = new Writable({
      decodeStrings: false,
      write: (chunk, _encoding, done) => {
        this.#above += String(chunk);
        this.#draw();
        done();
      },
    });
    return Object.assign(lines, { isTTY: true });
  }

  close(): void {
    clearInterval(this.#timer);
    for (const key of this.#moving.keys()) this.#moving.delete(key);
    this.#draw();
    this.#drawn = 0;
  }

  #take(event: TransferEvent, title: string): void {
    this.#warn(event);
    if (event.type === 'started') {
      if (event.what === 'blob' && event.descriptor) this.#blob(event.descriptor, title);
    } else if (event.type === 'advanced') this.#advance(this.#blob(event.descriptor, title), event.bytes);
    else if (event.type === 'done' && event.descriptor) this.#finish(event.descriptor, title, 'done', true);
    else if (event.type === 'skipped') this.#finish(event.descriptor, title, event.reason, false);
    else if (event.type === 'mounted') {
      const from = event.from ? ` from ${event.from}` : '';
      this.#finish(event.descriptor, title, `mounted${from}`, false);
    }
  }

  #blob({ digest, size }: Descriptor, title: string): Blob {
    const key = `${title} ${digest}`;
    let blob = this.#moving.get(key);
    if (!blob) {
      const short = digest.slice(0, digest.indexOf(':') + 13);
      const name = title ? `${title.slice(-40)} ${short.slice(-12)}` : short;
      blob = { name, size: Math.max(size, 0), rate: new RateMeter(), bytes: 0 };
      blob.rate.advance(0, this.#now());
      if (this.#total.blobs === 0) this.#rate.advance(0, this.#now());
      this.#moving.set(key, blob);
      this.#total.blobs += 1;
      this.#total.size += blob.size;
    }
    return blob;
  }

  #advance(blob: Blob, bytes: number, moved = true): void {
    const now = this.#now();
    // A transfer that is tried again starts over.
    const more = bytes - blob.bytes;
    blob.bytes = bytes;
    blob.rate.advance(bytes, now);
    this.#total.bytes += more;
    if (!moved) return;
    this.#total.moved += more;
    this.#rate.advance(this.#total.moved, now);
  }

  #finish(descriptor: Descriptor, title: string, note: string, moved: boolean): void {
    const blob = this.#blob(descriptor, title);
    this.#advance(blob, blob.size, moved);
    this.#total.done += 1;
    this.#moving.delete(`${title} ${descriptor.digest}`);
    this.#above += `${this.#fit(`${blob.name}  ${formatByteSize(blob.size)}  ${note}`)}\n`;
  }

  /** What an image that failed has left. */
  #forget(title: string): void {
    for (const key of this.#moving.keys()) if (key.startsWith(`${title} `)) this.#moving.delete(key);
  }

  #draw(): void {
    const bars = this.#moving.size > 0 ? this.#lines() : [];
    if (bars.length === 0 && this.#drawn === 0 && this.#above === '') return;
    const back = this.#drawn > 0 ? `\x1b[${this.#drawn}F\x1b[J` : '';
    this.#terminal.write(`${back}${this.#above}${bars.map((line) => `${line}\n`).join('')}`);
    this.#above = '';
    this.#drawn = bars.length;
  }

  #lines(): string[] {
    const now = this.#now();
    const room = Math.max(1, (this.#terminal.rows ?? 24) - 3);
    const blobs = [...this.#moving.values()];
    const shown = blobs.slice(0, room);
    const width = Math.max(19, ...shown.map(({ name }) => name.length));
    const lines = shown.map((blob) => this.#bar(blob, width, blob.rate.bytesPerSecond(now)));
    if (blobs.length > shown.length) lines.push(`and ${blobs.length - shown.length} more`);
    const { bytes, size, blobs: count, done } = this.#total;
    const name = `total ${done}/${count} blobs`;
    return [...lines, this.#bar({ name, bytes, size }, width, this.#rate.bytesPerSecond(now))];
  }

  #bar(blob: Pick<Blob, 'name' | 'bytes' | 'size'>, width: number, rate: number): string {
    const { name, bytes, size } = blob;
    const share = size > 0 ? Math.min(bytes / size, 1) : 0;
    const left = rate > 0 ? seconds(Math.max(size - bytes, 0) / rate) : '-';
    const sizes = `${formatByteSize(bytes)}/${formatByteSize(size)}`;
    const facts = `${String(Math.floor(share * 100)).padStart(3)}%  ${sizes}  ${formatByteSize(rate)}/s  eta ${left}`;
    const room = (this.#terminal.columns ?? 80) - 1 - width - facts.length - 5;
    const cells = Math.min(BAR_CELLS, room);
    const full = Math.round(share * cells);
    const bar = cells < 5 ? '' : ` [${'='.repeat(full)}${'-'.repeat(cells - full)}]`;
    return this.#fit(`${name.padEnd(width)}${bar} ${facts}`);
  }

  #fit(line: string): string {
    return line.slice(0, (this.#terminal.columns ?? 80) - 1);
  }
}

function seconds(count: number): string {
  const whole = Math.ceil(count);
  if (whole < 60) return `${whole}s`;
  const minutes = Math.floor(whole / 60);
  return minutes < 60
    ? `${minutes}m${String(whole % 60).padStart(2, '0')}s`
    : `${Math.floor(minutes / 60)}h${String(minutes % 60).padStart(2, '0')}m`;
}
