import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const EVERY_BYTES = 16 << 20;

type Collect = (options: { readonly type: 'minor'; readonly execution: 'sync' }) => void;
let collect: Collect | undefined;

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
    collect ??= collector();
    collect({ type: 'minor', execution: 'sync' });
  }
}

function collector(): Collect {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as Collect;
}
