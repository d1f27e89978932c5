import { parentPort, workerData } from 'node:worker_threads';
import { copyTreeSync } from './copy-tree-sync.ts';

const { from, to } = workerData as { from: string; to: string };
copyTreeSync(from, to);
parentPort?.postMessage('done');
