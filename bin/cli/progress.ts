import type { MultiBar, SingleBar } from 'cli-progress';
import type { Descriptor } from '../../image/descriptor.ts';
import type { OnProgress, TransferEvent } from '../../transport/contract.ts';
import { formatByteSize } from './duration.ts';

/** `auto` is bars on a terminal and plain lines otherwise; `none` drops everything but warnings. */
export type ProgressMode = 'auto' | 'bars' | 'plain' | 'json' | 'none';

/** Renders the events of transfers. Close it before printing results. */
export interface ProgressRenderer {
  readonly onProgress: OnProgress;
  close(): void;
}

/** Options of {@link createProgress}. */
export interface ProgressOptions {
  readonly mode: ProgressMode;
  /** Where lines and bars go: the originals' stdout for skopeo's drop-in, stderr elsewhere. */
  readonly stream: NodeJS.WritableStream & { readonly isTTY?: boolean };
  /** Where warnings go. */
  readonly warnings: NodeJS.WritableStream;
}

export async function createProgress(options: ProgressOptions): Promise<ProgressRenderer> {
  const mode = options.mode === 'auto' ? (options.stream.isTTY ? 'bars' : 'plain') : options.mode;
  if (mode === 'json')
    return {
      onProgress: (event) => void options.stream.write(`${JSON.stringify(event)}\n`),
      close: () => {},
    };
  const warn = (event: TransferEvent) => {
    if (event.type === 'warned') options.warnings.write(`warning: ${event.text}\n`);
    if (event.type === 'retried')
      options.warnings.write(`retrying ${event.what} (attempt ${event.attempt}): ${event.reason}\n`);
  };
  if (mode === 'none') return { onProgress: warn, close: () => {} };
  if (mode === 'bars') return new BarRenderer(options.stream, warn, await import('cli-progress'));
  return {
    onProgress: (event) => {
      warn(event);
      const line = plainLine(event);
      if (line !== undefined) options.stream.write(`${line}\n`);
    },
    close: () => {},
  };
}

/** The line that Skopeo prints for an event when it is not on a terminal; undefined for those it says nothing about. */
export function plainLine(event: TransferEvent): string | undefined {
  if (event.type === 'skipped') return `Copying blob ${event.descriptor.digest}`;
  if (event.type === 'mounted') return `Copying blob ${event.descriptor.digest}`;
  if (event.type !== 'started') return undefined;
  switch (event.what) {
    case 'blob':
      return `Copying blob ${event.descriptor?.digest ?? ''}`;
    case 'config':
      return `Copying config ${event.descriptor?.digest ?? ''}`;
    case 'manifest':
      return event.text ?? 'Writing manifest to image destination';
    case 'signatures':
      return event.text ?? 'Getting image source signatures';
    case 'image':
      return event.text;
  }
}

type CliProgress = typeof import('cli-progress');

class BarRenderer implements ProgressRenderer {
  readonly #bars: MultiBar;
  readonly #byDigest = new Map<string, SingleBar>();
  readonly #warn: (event: TransferEvent) => void;
  #total: SingleBar | undefined;

  constructor(
    stream: NodeJS.WritableStream,
    warn: (event: TransferEvent) => void,
    { MultiBar }: CliProgress,
  ) {
    this.#warn = warn;
    this.#bars = new MultiBar({
      stream,
      hideCursor: true,
      fps: 10,
      clearOnComplete: false,
      stopOnComplete: false,
      barsize: 24,
      etaBuffer: 50,
      format: '{name} [{bar}] {percentage}% {done}/{size} {rate}/s eta {eta_formatted} {note}',
    });
  }

  readonly onProgress = (event: TransferEvent): void => {
    this.#warn(event);
    if (event.type === 'started' && event.what === 'blob' && event.descriptor) this.#start(event.descriptor);
    else if (event.type === 'advanced') this.#advance(event.descriptor, event.bytes);
    else if (event.type === 'done' && event.descriptor) this.#finish(event.descriptor, 'done');
    else if (event.type === 'skipped') this.#finish(event.descriptor, event.reason);
    else if (event.type === 'mounted')
      this.#finish(event.descriptor, event.from ? `mounted from ${event.from}` : 'mounted');
  };

  #start(descriptor: Descriptor): SingleBar {
    const size = Math.max(descriptor.size, 1);
    const bar = this.#bars.create(size, 0, payload(descriptor.digest, descriptor.size, 0, 0));
    this.#byDigest.set(descriptor.digest, bar);
    this.#total ??= this.#bars.create(1, 0, payload('total'.padEnd(19), 0, 0, 0));
    this.#total.setTotal((this.#byDigest.size === 1 ? 0 : this.#total.getTotal()) + size);
    return bar;
  }

  readonly #reached = new Map<string, number>();
  readonly #startedAt = performance.now();

  #advance(descriptor: Descriptor, bytes: number): void {
    const bar = this.#byDigest.get(descriptor.digest) ?? this.#start(descriptor);
    this.#reached.set(descriptor.digest, bytes);
    const seconds = Math.max((performance.now() - this.#startedAt) / 1000, 0.001);
    bar.update(bytes, payload(descriptor.digest, descriptor.size, bytes, bytes / seconds));
    const sum = [...this.#reached.values()].reduce((total, value) => total + value, 0);
    this.#total?.update(sum, payload('total'.padEnd(19), this.#total.getTotal(), sum, sum / seconds));
  }

  #finish(descriptor: Descriptor, note: string): void {
    const bar = this.#byDigest.get(descriptor.digest) ?? this.#start(descriptor);
    this.#advance(descriptor, Math.max(descriptor.size, 0));
    bar.update(Math.max(descriptor.size, 1), { note });
    bar.stop();
  }

  close(): void {
    this.#bars.stop();
  }
}

function payload(name: string, size: number, done: number, rate: number): Record<string, string> {
  return {
    name: name.slice(0, 19),
    size: formatByteSize(Math.max(size, 0)),
    done: formatByteSize(done),
    rate: formatByteSize(rate),
    note: '',
  };
}
