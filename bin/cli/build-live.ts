import { Writable } from 'node:stream';
import type { BuildEvent } from '../../build/exec/events.ts';
import { type LiveStep, LiveSteps } from './build-live-steps.ts';
import { plainLine, Screen, type TerminalStream } from './build-screen.ts';
import type { BuildView } from './build-view.ts';
import { formatByteSize } from './duration.ts';

export interface LiveViewOptions {
  /** True: Buildah's lines and all output stay on the screen; false: a line for each finished step does. */
  readonly keepLines: boolean;
  /** Milliseconds of a steady clock. */
  readonly nowMs: () => number;
}

const FRAME_MS = 100;
const TAIL_LINES = 6;
const FAILED_LINES = 30;

/** The running steps with the time they have taken and the end of their output, drawn in place. */
export class LiveView implements BuildView {
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly messages: Writable;
  readonly #screen: Screen;
  readonly #options: LiveViewOptions;
  readonly #steps = new LiveSteps();
  readonly #timer: NodeJS.Timeout;
  readonly #transfers = new Map<string, string>();
  #startedMs: number;
  #isClosed = false;

  constructor(stream: TerminalStream, options: LiveViewOptions) {
    this.#screen = new Screen(stream);
    this.#options = options;
    this.#startedMs = options.nowMs();
    this.messages = new LineSink((text) => this.#print(text));
    const lines = options.keepLines ? this.messages : new LineSink(() => undefined);
    this.stdout = lines;
    this.stderr = lines;
    this.#timer = setInterval(() => this.#draw(), FRAME_MS);
    this.#timer.unref();
  }

  readonly onEvent = (event: BuildEvent): void => {
    const nowMs = this.#options.nowMs();
    if (event.type === 'build-started') this.#startedMs = nowMs;
    if (event.type === 'transfer') this.#transfer(event.transfer);
    const finished = this.#steps.take(event, nowMs);
    if (finished && !this.#options.keepLines) this.#print(`${finishedLines(finished).join('\n')}\n`);
    if (event.type === 'warning' || event.type === 'output') return;
    this.#draw();
  };

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.messages.end();
    this.#screen.close();
  }

  #print(text: string): void {
    this.#screen.print(text);
  }

  #transfer(transfer: Extract<BuildEvent, { type: 'transfer' }>['transfer']): void {
    if (!('descriptor' in transfer) || !transfer.descriptor) return;
    const { digest, size } = transfer.descriptor;
    if (transfer.type === 'advanced')
      this.#transfers.set(
        digest,
        `   ${digest.slice(0, 19)} ${formatByteSize(transfer.bytes)} of ${formatByteSize(Math.max(size, transfer.bytes))}`,
      );
    else if (transfer.type !== 'started') this.#transfers.delete(digest);
  }

  #draw(): void {
    const nowMs = this.#options.nowMs();
    const running = this.#steps.running();
    if (running.length === 0) return;
    const room = this.#screen.rows - running.length - this.#transfers.size - 1;
    const tail = Math.max(0, Math.min(TAIL_LINES, Math.floor(room / running.length)));
    const { done, known } = this.#steps.counts();
    this.#screen.draw([
      ...running.flatMap((step) => runningLines(step, nowMs, this.#options.keepLines ? 0 : tail)),
      ...[...this.#transfers.values()].slice(0, 6),
      `building ${seconds(nowMs - this.#startedMs)}, ${done} of ${known} steps done`,
    ]);
  }
}

function runningLines(step: LiveStep, nowMs: number, tail: number): string[] {
  const head = `-> ${step.label} ${seconds(nowMs - step.startedMs)}`;
  return [
    head,
    ...(tail > 0
      ? shownOutput(step)
          .slice(-tail)
          .map((line) => `   | ${line}`)
      : []),
  ];
}

function finishedLines(step: LiveStep): string[] {
  const time = seconds(step.durationMs ?? 0);
  if (step.outcome === 'cached') return [`== ${step.label} cached`];
  if (step.outcome === 'done') return [`ok ${step.label} ${time}`];
  const output = shownOutput(step)
    .slice(-FAILED_LINES)
    .map((line) => `   | ${line}`);
  return [`!! ${step.label} failed after ${time}`, ...output];
}

/** Without the line that has not begun. */
function shownOutput({ output }: LiveStep): readonly string[] {
  return output.at(-1) === '' ? output.slice(0, -1) : output;
}

function seconds(milliseconds: number): string {
  const value = Math.max(0, milliseconds) / 1000;
  if (value < 60) return `${value.toFixed(1)}s`;
  return `${Math.floor(value / 60)}m${String(Math.floor(value % 60)).padStart(2, '0')}s`;
}

/** Hands whole lines on; what has no end comes with the end. */
class LineSink extends Writable {
  readonly isTTY = false;
  readonly #onLines: (text: string) => void;
  #rest = '';

  constructor(onLines: (text: string) => void) {
    super();
    this.#onLines = onLines;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const text = this.#rest + chunk.toString('utf8');
    const end = text.lastIndexOf('\n') + 1;
    this.#rest = text.slice(end);
    if (end > 0) this.#onLines(shown(text.slice(0, end)));
    done();
  }

  override _final(done: () => void): void {
    if (this.#rest !== '') this.#onLines(`${plainLine(this.#rest)}\n`);
    done();
  }
}

/** Colours are left; what moves the cursor would tear the view apart. */
function shown(text: string): string {
  return text.replace(/\x1b\[[0-9;?]*[A-HJKSTfhlnsu]/g, '').replace(/[^\n]*\r(?!\n)/g, '');
}
