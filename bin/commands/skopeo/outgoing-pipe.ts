import { Socket } from 'node:net';
import { closeDescriptors, openPipe } from '../../../store/kernel/message-socket.ts';

/** A pipe whose reading end another process gets. Its writing end waits in the event loop, not on a thread. */
export class OutgoingPipe {
  readonly readingEnd: number;
  /** The number of the writing end. */
  readonly id: number;
  readonly #socket: Socket;
  #sending: Promise<void> = Promise.resolve();
  #failure: { readonly error: unknown } | undefined;

  constructor() {
    [this.readingEnd, this.id] = openPipe();
    this.#socket = new Socket({ fd: this.id, readable: false, writable: true });
    this.#socket.on('error', (error) => this.#fail(error));
  }

  /** The other process has its own copy of the reading end now. */
  handedOver(): void {
    closeDescriptors([this.readingEnd]);
  }

  write(content: Uint8Array | string): void {
    this.#sending = this.#sending.then(() => this.#put(content));
  }

  /** Writes all of a stream; what fails is told by {@link finish}. */
  send(stream: AsyncIterable<Uint8Array>): Promise<void> {
    this.#sending = (async () => {
      try {
        for await (const chunk of stream) {
          await this.#put(chunk);
          if (this.#failure) return;
        }
      } catch (error) {
        this.#fail(error);
      }
    })();
    return this.#sending;
  }

  /** Waits until everything is in the pipe, then closes it. @throws what went wrong meanwhile */
  async finish(): Promise<void> {
    await this.#sending;
    this.close();
    if (this.#failure) throw this.#failure.error;
  }

  close(): void {
    this.#socket.destroy();
  }

  async #put(content: Uint8Array | string): Promise<void> {
    if (this.#failure) return;
    await new Promise<void>((resolve) => {
      this.#socket.write(content, (error) => {
        if (error) this.#fail(error);
        resolve();
      });
    });
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
  }
}
