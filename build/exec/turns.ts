import { AsyncLocalStorage } from 'node:async_hooks';
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { Writable } from 'node:stream';

/** Where a stage writes to. */
export interface StageStreams {
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** True where what is written is shown at once. */
  readonly isLive: boolean;
}

type StreamName = 'stdout' | 'stderr';

/**
 * Stages that are built at once, shown one after the other: the first one that has not ended writes through, what the
 * others write is kept in files until their turn comes. The whole output is that of stages built in their order.
 */
export class Turns implements AsyncDisposable {
  readonly #order: readonly number[];
  readonly #turns = new Map<number, Turn>();
  readonly #ended = new Set<number>();
  readonly #current = new AsyncLocalStorage<Turn>();

  /**
   * @param order the stages, in the order in which they are shown
   * @param file makes a path of its own for what waits
   */
  constructor(order: readonly number[], shown: Pick<StageStreams, StreamName>, file: () => string) {
    this.#order = order;
    for (const stage of order) this.#turns.set(stage, new Turn(shown, file));
    this.#showNext();
  }

  /** The streams of the stage that the caller runs for; undefined outside of all stages. */
  get streams(): StageStreams | undefined {
    return this.#current.getStore();
  }

  /** Runs a stage. What a stage that failed wrote is shown at once: it says why. */
  async run<T>(stage: number, action: () => Promise<T>): Promise<T> {
    const turn = this.#turns.get(stage);
    if (!turn) throw new Error(`stage ${stage} has no turn`);
    try {
      const result = await this.#current.run(turn, action);
      await turn.settled();
      this.#ended.add(stage);
      this.#showNext();
      return result;
    } catch (error) {
      turn.show();
      await turn.settled();
      throw error;
    }
  }

  /** What waits for a turn that does not come, since another stage failed, is dropped. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const turn of this.#turns.values()) turn.drop();
  }

  #showNext(): void {
    for (const stage of this.#order) {
      this.#turns.get(stage)?.show();
      if (!this.#ended.has(stage)) return;
    }
  }
}

class Turn implements StageStreams {
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly #shown: Pick<StageStreams, StreamName>;
  readonly #file: () => string;
  #fd: number | undefined;
  /** What the file holds: pieces of it, in order. */
  #waiting: { readonly name: StreamName; readonly length: number }[] = [];
  #isLive = false;

  constructor(shown: Pick<StageStreams, StreamName>, file: () => string) {
    this.#shown = shown;
    this.#file = file;
    this.stdout = this.#stream('stdout');
    this.stderr = this.#stream('stderr');
  }

  get isLive(): boolean {
    return this.#isLive;
  }

  show(): void {
    if (this.#isLive) return;
    this.#isLive = true;
    if (this.#fd === undefined) return;
    let at = 0;
    for (const { name, length } of this.#waiting) {
      const bytes = Buffer.alloc(length);
      at += readSync(this.#fd, bytes, 0, length, at);
      this.#shown[name].write(bytes);
    }
    this.drop();
  }

  /** Forgets what waits. */
  drop(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
    this.#waiting = [];
  }

  /** Resolves when everything written has been handed on. */
  async settled(): Promise<void> {
    const written = (stream: Writable) => new Promise<void>((resolve) => stream.write('', () => resolve()));
    await Promise.all([written(this.stdout), written(this.stderr)]);
  }

  #stream(name: StreamName): Writable {
    return new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        if (chunk.length > 0 && this.#isLive) {
          this.#shown[name].write(chunk, () => done());
          return;
        }
        if (chunk.length > 0) this.#keep(name, chunk);
        done();
      },
    });
  }

  #keep(name: StreamName, chunk: Buffer): void {
    this.#fd ??= openSync(this.#file(), 'wx+', 0o600);
    for (let at = 0; at < chunk.length; ) at += writeSync(this.#fd, chunk, at);
    this.#waiting.push({ name, length: chunk.length });
  }
}
