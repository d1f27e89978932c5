import { lstatSync, readdirSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { StoreError } from '../error.ts';
import { workerUrl } from '../kernel/worker-url.ts';

/** Trees up to this size are copied at once: starting a worker would take longer. */
const SMALL_ENTRIES = 200;
const SMALL_BYTES = 4 << 20;

/** Copies a directory; see copyTreeSync. A large one is copied in a worker thread. @throws StoreError `system` */
export async function copyTree(from: string, to: string, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  if (!isSmall(from)) return await copyInWorker(from, to, signal);
  const { copyTreeSync } = await import('./copy-tree-sync.ts');
  try {
    copyTreeSync(from, to);
  } catch (cause) {
    throw failed(from, to, cause as Error);
  }
}

function copyInWorker(from: string, to: string, signal?: AbortSignal): Promise<void> {
  const worker = new Worker(workerUrl('store/storage/copy-tree.worker.ts'), { workerData: { from, to } });
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      void worker.terminate();
      reject(signal?.reason);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    worker.once('message', () => resolve());
    worker.once('error', (cause) => reject(failed(from, to, cause)));
    worker.once('exit', () => signal?.removeEventListener('abort', onAbort));
  });
}

function failed(from: string, to: string, cause: Error): StoreError {
  return new StoreError('system', `copying ${from} to ${to}: ${cause.message}`, { cause });
}

/** Names are taken as bytes, since they need not be valid UTF-8. */
function isSmall(directory: string): boolean {
  let entries = 0;
  let bytes = 0;
  const left = [Buffer.from(directory)];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    for (const entry of readdirSync(next, { withFileTypes: true, encoding: 'buffer' })) {
      entries += 1;
      const path = Buffer.concat([next, Buffer.from('/'), entry.name]);
      if (entry.isDirectory()) left.push(path);
      else bytes += lstatSync(path, { throwIfNoEntry: false })?.size ?? 0;
      if (entries > SMALL_ENTRIES || bytes > SMALL_BYTES) return false;
    }
  }
  return true;
}
