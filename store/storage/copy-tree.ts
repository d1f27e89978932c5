import { Worker } from 'node:worker_threads';
import { StoreError } from '../error.ts';
import { workerUrl } from '../kernel/worker-url.ts';

/** Copies a directory in a worker thread; see copyTreeSync. @throws StoreError `system` */
export function copyTree(from: string, to: string, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  const worker = new Worker(workerUrl('store/storage/copy-tree.worker.ts'), {
    workerData: { from, to },
    trackUnmanagedFds: false,
  });
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      void worker.terminate();
      reject(signal?.reason);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    worker.once('message', () => resolve());
    worker.once('error', (cause) =>
      reject(new StoreError('system', `copying ${from} to ${to}: ${cause.message}`, { cause })),
    );
    worker.once('exit', () => signal?.removeEventListener('abort', onAbort));
  });
}
