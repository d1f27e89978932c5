import type { OnProgress, TransferEvent } from '../../transport/contract.ts';
import type { Terminal } from './bars.ts';

/** `auto` is bars on a terminal and plain lines otherwise; `none` drops everything but warnings. */
export type ProgressMode = 'auto' | 'bars' | 'plain' | 'json' | 'none';

/** A stream that may be a terminal. */
export type TextStream = NodeJS.WritableStream & { readonly isTTY?: boolean };

/** Renders the events of transfers. Close it before printing results. */
export interface ProgressRenderer {
  readonly onProgress: OnProgress;
  /** For one of several images at once. */
  image(title: string): ImageProgress;
  /** What to write other lines for people to meanwhile, so that bars are not torn. */
  above(stream: TextStream): TextStream;
  close(): void;
}

/** The part of one image. */
export interface ImageProgress {
  readonly onProgress: OnProgress;
  end(): void;
}

/** Options of {@link createProgress}. Its streams may be getters: they are asked for when there is something to write. */
export interface ProgressOptions {
  readonly mode: ProgressMode;
  /** Where lines and bars go: the originals' stdout for skopeo's drop-in, stderr elsewhere. */
  readonly stream: TextStream;
  /** Where warnings go. */
  readonly warnings: TextStream;
}

export async function createProgress(options: ProgressOptions): Promise<ProgressRenderer> {
  const mode = options.mode === 'auto' ? (options.stream.isTTY ? 'bars' : 'plain') : options.mode;
  const warn = warner(() => options.warnings);
  if (mode === 'none') return withoutBars(() => ({ onProgress: warn, end: () => {} }));
  if (mode === 'plain') return withoutBars((title) => plainLines(options, warn, title));
  const { stream, warnings } = options;
  if (mode === 'json') return jsonLines(stream);
  const { Bars } = await import('./bars.ts');
  let bars: ProgressRenderer | undefined;
  bars = new Bars(stream as Terminal, (event) => warner(() => bars?.above(warnings) ?? warnings)(event));
  return bars;
}

function warner(stream: () => NodeJS.WritableStream): OnProgress {
  return (event) => {
    if (event.type === 'warned') stream().write(`warning: ${event.text}\n`);
    if (event.type === 'retried')
      stream().write(`retrying ${event.what} (attempt ${event.attempt}): ${event.reason}\n`);
  };
}

function withoutBars(image: (title: string) => ImageProgress): ProgressRenderer {
  return { onProgress: image('').onProgress, image, above: (stream) => stream, close: () => {} };
}

/** One event a line; those of one image among several say which. */
function jsonLines(stream: NodeJS.WritableStream): ProgressRenderer {
  const write = (event: object) => void stream.write(`${JSON.stringify(event)}\n`);
  return withoutBars((image) => ({
    onProgress: (event) => write(image === '' ? event : { image, ...event }),
    end: () => {},
  }));
}

/** The lines of one image among several stand together: they are written when it is done. */
function plainLines(
  options: Pick<ProgressOptions, 'stream'>,
  warn: OnProgress,
  title: string,
): ImageProgress {
  const own: string[] = [];
  return {
    onProgress: (event) => {
      warn(event);
      const line = plainLine(event);
      if (line === undefined) return;
      if (title === '') options.stream.write(`${line}\n`);
      else own.push(`${line}\n`);
    },
    end: () => {
      if (own.length > 0) options.stream.write(own.splice(0).join(''));
    },
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
