import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';

export interface StallLimits {
  /** Milliseconds in which at least {@link MINIMUM_BYTES} have to move. */
  readonly stallTimeoutMs: number;
  /** Milliseconds from the end of the request to its answer. */
  readonly answerTimeoutMs: number;
  /** Milliseconds until there is a connection. */
  readonly connectTimeoutMs: number;
}

/** A server that drips slower than this in one stall time counts as stalled. */
const MINIMUM_BYTES = 1024;

/**
 * Ends a request whose other side makes no progress. Time in which this side is the slow one (nobody reads the answer,
 * the body's source gives nothing) does not count, which is why socket timeouts do not serve.
 */
export class StallWatch {
  readonly #request: ClientRequest;
  readonly #body: Readable | Uint8Array | undefined;
  readonly #limits: StallLimits;
  readonly #timer: NodeJS.Timeout;
  #answer: IncomingMessage | undefined;
  #sinceMs = Date.now();
  #bytes = 0;
  /** Why the request was ended; undefined where it was not. */
  reason: string | undefined;

  constructor(request: ClientRequest, body: Readable | Uint8Array | undefined, limits: StallLimits) {
    this.#request = request;
    this.#body = body;
    this.#limits = limits;
    this.#timer = setInterval(() => this.#check(), Math.max(5, limits.stallTimeoutMs / 8)).unref();
    request.once('socket', (socket) => {
      if (socket.connecting) socket.once('connect', () => this.#restart());
      else this.#restart();
    });
  }

  watchAnswer(answer: IncomingMessage): void {
    this.#answer = answer;
    this.#restart();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #restart(): void {
    this.#sinceMs = Date.now();
    this.#bytes = this.#moved();
  }

  #moved(): number {
    const { socket } = this.#request;
    return socket ? socket.bytesRead + socket.bytesWritten : 0;
  }

  #check(): void {
    const { socket } = this.#request;
    // Nor is it the server's fault when the request waits for a free connection.
    if (!socket || this.#waitsForUs()) {
      this.#restart();
      return;
    }
    const elapsedMs = Date.now() - this.#sinceMs;
    const moved = this.#moved() - this.#bytes;
    const { connectTimeoutMs, stallTimeoutMs, answerTimeoutMs } = this.#limits;
    if (socket.connecting) {
      if (elapsedMs >= Math.min(connectTimeoutMs, stallTimeoutMs))
        this.#end('connecting took too long', elapsedMs);
      return;
    }
    const waitsForAnswer = !this.#answer && this.#request.writableFinished;
    const limitMs = waitsForAnswer ? answerTimeoutMs : stallTimeoutMs;
    if (elapsedMs < limitMs) return;
    if (moved >= MINIMUM_BYTES) this.#restart();
    else this.#end(waitsForAnswer ? 'no answer' : 'the transfer stalled', elapsedMs);
  }

  #waitsForUs(): boolean {
    if (this.#answer) return this.#answer.readableLength > 0 || this.#answer.complete;
    const body = this.#body;
    return (
      body !== undefined &&
      !(body instanceof Uint8Array) &&
      !this.#request.writableEnded &&
      this.#request.writableLength === 0
    );
  }

  #end(what: string, elapsedMs: number): void {
    this.reason = `${what}: less than ${MINIMUM_BYTES} bytes in ${Math.round(elapsedMs / 100) / 10} s`;
    this.stop();
    const error = new Error(this.reason);
    this.#answer?.destroy(error);
    this.#request.destroy(error);
  }
}
