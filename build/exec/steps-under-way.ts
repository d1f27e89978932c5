/**
 * Steps that are being made in a build, by what they stand on and do: stages that are built at once and begin alike
 * make their common steps once, as stages that are built one after the other do by the cache.
 */
export class StepsUnderWay {
  readonly #steps = new Map<string, Promise<void>>();

  /** Resolves when the step has been made or has failed; undefined where nobody makes it. */
  wait(key: string): Promise<void> | undefined {
    return this.#steps.get(key);
  }

  /** The caller makes the step. Disposing tells those who wait. */
  claim(key: string): Disposable {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#steps.set(key, promise);
    return {
      [Symbol.dispose]: () => {
        this.#steps.delete(key);
        resolve();
      },
    };
  }
}
