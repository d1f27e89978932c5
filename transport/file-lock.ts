import { open, readFile, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { isSystemError } from '../errors.ts';
import { TransportError } from './error.ts';

const RETRY_MS = 20;
const LIMIT_MS = 60_000;

/**
 * Runs `work` while holding a lock file that names its owner. A file whose process on this host has ended is stale and
 * taken over. For short critical sections only.
 * @throws TransportError `timeout` after 60 seconds of waiting
 */
export async function withFileLock<T>(
  path: string,
  work: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const owner = `${process.pid}@${hostname()}\n`;
  for (let waited = 0; !(await take(path, owner)); waited += RETRY_MS) {
    signal?.throwIfAborted();
    if (waited > LIMIT_MS)
      throw new TransportError('timeout', `waiting for ${path}, held by process ${await holder(path)}`, {
        hint: 'remove the file when that process is gone',
        facts: { path },
      });
    await sleep(RETRY_MS, undefined, { signal });
  }
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}

async function take(path: string, owner: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx', 0o644);
    await file.writeFile(owner);
    await file.close();
    return true;
  } catch (error) {
    if (!isSystemError(error, 'EEXIST')) throw error;
  }
  if (await isStale(path)) await rm(path, { force: true });
  return false;
}

async function isStale(path: string): Promise<boolean> {
  const [pid, host] = (await holder(path)).split('@');
  if (!pid || host !== hostname() || Number(pid) === process.pid) return false;
  return !isRunning(Number(pid));
}

/** True where a process of this host has that id. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !isSystemError(error, 'ESRCH');
  }
}

async function holder(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (isSystemError(error, 'ENOENT')) return '';
    throw error;
  });
  return text.trim();
}
