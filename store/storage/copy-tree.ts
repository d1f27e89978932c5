import { readdirSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { StoreError } from '../error.ts';
import { copyFileContentsAside } from '../kernel/copy.ts';
import { workerUrl } from '../kernel/worker-url.ts';

/** Trees of so few entries are copied by this thread: starting a worker would take longer. */
const FEW_ENTRIES = 200;
/** Contents of larger files are copied aside, so that all others are a matter of milliseconds. */
const ASIDE_BYTES = 64 << 10;

/** Copies a directory; see copyTreeSync. One of many entries is copied in a worker thread. @throws StoreError `system` */
export async function copyTree(from: string, to: string, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  if (!hasFewEntries(from)) return await copyInWorker(from, to, signal);
  const { copyTreeInSteps } = await import('./copy-tree-sync.ts');
  try {
    for (const step of copyTreeInSteps(from, to, ASIDE_BYTES))
      await copyFileContentsAside(step.from, step.to, signal);
  } catch (cause) {
    signal?.throwIfAborted();
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
function hasFewEntries(directory: string): boolean {
  let entries = 0;
  const left = [Buffer.from(directory)];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    for (const entry of readdirSync(next, { withFileTypes: true, encoding: 'buffer' })) {
      entries += 1;
      if (entries > FEW_ENTRIES) return false;
      if (entry.isDirectory()) left.push(Buffer.concat([next, Buffer.from('/'), entry.name]));
    }
  }
  return true;
}
