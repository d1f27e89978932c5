import { parentPort, workerData } from 'node:worker_threads';
import { mount } from '../../kernel/mount.ts';
import { CLONE, changeDirectory, unshare } from '../../kernel/process.ts';
import type { MountJob } from './mount.ts';

const job = workerData as MountJob;
try {
  unshare(CLONE.fs);
  changeDirectory(job.directory);
  mount('overlay', job.target, 'overlay', job.flags, job.data);
  parentPort?.postMessage(undefined);
} catch (error) {
  const { code, message } = error as NodeJS.ErrnoException;
  parentPort?.postMessage({ code, message });
}
