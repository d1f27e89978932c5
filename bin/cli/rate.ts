const WINDOW_MS = 5000;

/** How fast a count of bytes grows now: over the last five seconds. */
export class RateMeter {
  readonly #samples: { readonly ms: number; readonly bytes: number }[] = [];

  /** @param bytes in total so far */
  advance(bytes: number, nowMs: number): void {
    this.#samples.push({ ms: nowMs, bytes });
    while (this.#samples.length > 2 && nowMs - (this.#samples[1]?.ms ?? nowMs) > WINDOW_MS)
      this.#samples.shift();
  }

  /** 0 as long as nothing is known. */
  bytesPerSecond(nowMs: number): number {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (!first || !last || nowMs - first.ms < 100) return 0;
    return ((last.bytes - first.bytes) * 1000) / (nowMs - first.ms);
  }
}
