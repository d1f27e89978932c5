import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const EVERY_BYTES = 16 << 20;

type Collect = (options: { readonly type: 'minor'; readonly execution: 'sync' }) => void;
let collectYoung: Collect | undefined;

/**
 * Keeps the memory of passing streams low. Their chunks lie outside of V8's heap, which is nearly empty, so V8 lets
 * some 64 MB of dead chunks gather before it collects them. Collecting the young generation takes well below a
 * millisecond and frees them.
 */
export class PassingBytes {
  #bytes = 0;

  /** Call for every chunk that has passed. */
  passed(sizeBytes: number): void {
    this.#bytes += sizeBytes;
    if (this.#bytes < EVERY_BYTES) return;
    this.#bytes = 0;
    collectYoung ??= collector();
    collectYoung({ type: 'minor', execution: 'sync' });
  }
}

function collector(): Collect {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as Collect;
  // V8 takes code caches only with the flags that they were made with.
  setFlagsFromString('--no-expose-gc');
  return collect;
}
