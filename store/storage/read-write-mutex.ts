/** Readers share, writers exclude; waiters are served in the order they came, so that neither side starves. */
export class ReadWriteMutex {
  #readers = 0;
  #writing = false;
  readonly #queue: { readonly kind: 'read' | 'write'; readonly start: () => void }[] = [];

  /** Resolves with the function that gives the lock back; that may be called once. */
  async acquire(kind: 'read' | 'write', signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    if (this.#queue.length > 0 || !this.#free(kind)) await this.#wait(kind, signal);
    else this.#take(kind);
    return () => this.#release(kind);
  }

  #wait(kind: 'read' | 'write', signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        const at = this.#queue.indexOf(entry);
        if (at >= 0) this.#queue.splice(at, 1);
        this.#wake();
        reject(signal?.reason);
      };
      const entry = {
        kind,
        start: () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#queue.push(entry);
    });
  }

  #free(kind: 'read' | 'write'): boolean {
    return !this.#writing && (kind === 'read' || this.#readers === 0);
  }

  #take(kind: 'read' | 'write'): void {
    if (kind === 'read') this.#readers += 1;
    else this.#writing = true;
  }

  #release(kind: 'read' | 'write'): void {
    if (kind === 'read') this.#readers -= 1;
    else this.#writing = false;
    this.#wake();
  }

  #wake(): void {
    for (let next = this.#queue[0]; next !== undefined && this.#free(next.kind); next = this.#queue[0]) {
      this.#queue.shift();
      this.#take(next.kind);
      next.start();
    }
  }
}
