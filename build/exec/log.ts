import type { Writable } from 'node:stream';
import type { OnProgress } from '../../transport/contract.ts';
import { redact } from '../add/redact.ts';
import type { Instruction } from '../parse/instruction.ts';
import type { BuildEventBody, EventLayer, OnBuildEvent } from './events.ts';
import { OutputTee } from './output-tee.ts';
import type { StageStreams, Turns } from './turns.ts';

/** A stream, or what opens it when something is written: that loads modules of Node for longer than a cached build runs. */
export type OutputTarget = Writable | (() => Writable);

export function openOutput(target: OutputTarget): Writable {
  return typeof target === 'function' ? target() : target;
}

/** Where a build tells what it does. */
export interface BuildLogOptions {
  readonly stdout: OutputTarget;
  readonly stderr: OutputTarget;
  /** No lines, and no stdout of commands; events go on. */
  readonly quiet?: boolean;
  readonly inheritOutput?: () => boolean;
  readonly logPrefix?: string;
  readonly hideImageIds?: boolean;
  readonly prefixOutput?: boolean;
  readonly onEvent?: OnBuildEvent;
}

/** The one place that Buildah's plain lines and the typed events of a build come out of. */
export class BuildLog {
  readonly options: BuildLogOptions;
  /** Set where stages that are built at once are shown one after the other. */
  turns: Turns | undefined;
  /** Not by `performance`, which takes milliseconds to load. */
  readonly #startedNs = process.hrtime.bigint();
  /** Where lines of stages that are built alone go. */
  readonly direct: StageStreams;

  constructor(options: BuildLogOptions) {
    this.options = options;
    this.direct = {
      get stdout() {
        return openOutput(options.stdout);
      },
      get stderr() {
        return openOutput(options.stderr);
      },
      isLive: true,
    };
  }

  get listens(): boolean {
    return this.options.onEvent !== undefined;
  }

  /** Milliseconds since the build began. */
  elapsedMs(): number {
    return Number((process.hrtime.bigint() - this.#startedNs) / 100_000n) / 10;
  }

  /** Takes what happens to blobs as events, where someone listens; no lines. */
  get onTransfer(): OnProgress | undefined {
    return this.listens ? (transfer) => this.event({ type: 'transfer', transfer }) : undefined;
  }

  event(body: BuildEventBody): void {
    this.options.onEvent?.({ ...body, atMs: this.elapsedMs() });
  }

  /** Where lines of the caller's stage go. */
  get streams(): StageStreams {
    return this.turns?.streams ?? this.direct;
  }

  /** A line on stdout. */
  line(text: string): void {
    if (!this.options.quiet) this.streams.stdout.write(`${text}\n`);
  }

  /** A line about the way: what is pulled from where. */
  status(text: string): void {
    this.event({ type: 'status', text });
    if (!this.options.quiet) this.streams.stderr.write(`${text}\n`);
  }
}

/** The plain step lines of one stage, as Buildah prints them, with the events that go with them. */
export class StageLog {
  readonly #log: BuildLog;
  readonly #stage: number;
  readonly #prefix: string;
  readonly #tees: OutputTee[] = [];
  #total: number;
  #step = 0;
  #stepStartedMs = 0;
  #cachedImage: string | undefined;

  constructor(
    log: BuildLog,
    given: { readonly stage: number; readonly position: string; readonly total: number },
  ) {
    this.#log = log;
    this.#stage = given.stage;
    this.#prefix = (log.options.logPrefix ?? '') + given.position;
    this.#total = given.total;
  }

  /** More steps follow than were known: those of the base image's ONBUILD. */
  expect(more: number): void {
    this.#total += more;
  }

  step(text: string, position?: Instruction['position']): void {
    this.#step += 1;
    this.#stepStartedMs = this.#log.elapsedMs();
    this.#cachedImage = undefined;
    const count = this.#step <= this.#total ? `/${this.#total}` : '';
    this.#log.line(`${this.#prefix}STEP ${this.#step}${count}: ${text}`);
    this.#log.event({
      type: 'step-started',
      ...this.place,
      total: this.#total,
      text,
      ...(position ? { file: position.file, line: position.line } : {}),
    });
  }

  get place(): { readonly stage: number; readonly step: number } {
    return { stage: this.#stage, step: this.#step };
  }

  commit(name: string): void {
    this.#log.line(`${this.#prefix}COMMIT${name ? ` ${name}` : ''}`);
  }

  usingCache(imageId: string): void {
    this.#cachedImage = imageId;
    this.line(`--> Using cache ${imageId}`);
  }

  image(imageId: string): void {
    if (!this.#log.options.hideImageIds) this.line(`--> ${imageId.slice(0, 12)}`);
  }

  committed(imageId: string, name: string, layer: EventLayer | undefined): void {
    this.#log.event({ type: 'image-committed', ...this.place, imageId, name, ...(layer ? { layer } : {}) });
  }

  line(text: string): void {
    this.#log.line(this.#log.options.prefixOutput ? this.#prefix + text : text);
  }

  /** The step went well. @param imageId absent where it made no image */
  done(imageId: string | undefined): { readonly isCached: boolean } {
    const durationMs = this.#stepDurationMs();
    const cached = this.#cachedImage;
    if (cached !== undefined)
      this.#log.event({ type: 'step-cached', ...this.place, imageId: cached, durationMs });
    else this.#log.event({ type: 'step-done', ...this.place, ...(imageId ? { imageId } : {}), durationMs });
    return { isCached: cached !== undefined };
  }

  failed(message: string, exitCode: number | undefined): void {
    this.#log.event({
      type: 'step-failed',
      ...this.place,
      message,
      ...(exitCode === undefined ? {} : { exitCode }),
      durationMs: this.#stepDurationMs(),
    });
  }

  /** Where a command of the step writes to. */
  output(stream: 'stdout' | 'stderr'): Writable | 'inherit' {
    const { options, streams } = this.#log;
    const silent = stream === 'stdout' && options.quiet === true;
    if (!silent && !options.prefixOutput && !this.#log.listens)
      return streams.isLive && options.inheritOutput?.() ? 'inherit' : streams[stream];
    const { place } = this;
    const tee = new OutputTee({
      target: silent ? undefined : streams[stream],
      prefix: options.prefixOutput ? this.#prefix : '',
      ...(this.#log.listens
        ? { onText: (text: string) => this.#log.event({ type: 'output', ...place, stream, text }) }
        : {}),
    });
    this.#tees.push(tee);
    return tee;
  }

  /** The command has ended: what it wrote without an end of line is written out. */
  async flushOutput(): Promise<void> {
    for (const tee of this.#tees.splice(0)) await tee.flush();
  }

  #stepDurationMs(): number {
    return Math.max(0, Math.round((this.#log.elapsedMs() - this.#stepStartedMs) * 10) / 10);
  }
}

/** The step line's text: the instruction as joined, with the first line of each heredoc. */
export function stepText(instruction: Instruction): string {
  const heredocs = instruction.heredocs.map((heredoc) => {
    const lines = heredoc.content.trim().split('\n');
    return ` (${lines[0]}${lines.length > 1 ? '...' : ''})`;
  });
  return written(instruction) + heredocs.join('');
}

/** How an error names the step: the keyword, flags and words. */
export function stepName(instruction: Instruction): string {
  const { keyword } = instruction;
  return keyword.toUpperCase() + written(instruction).slice(keyword.length).replace(/\s+$/, '');
}

/** A password in the URL of ADD is for the server, not for logs (SECURITY B26). */
function written({ kind, original }: Instruction): string {
  return kind === 'add' ? redact(original) : original;
}
