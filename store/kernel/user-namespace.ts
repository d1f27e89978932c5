import { spawn } from 'node:child_process';
import { closeSync, openSync, readlinkSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { StoreError } from '../error.ts';

/** A user namespace that is held open by a descriptor; nobody runs in it. */
export interface HeldUserNamespace extends Disposable {
  readonly fd: number;
}

/** One line of /proc/PID/uid_map. */
export interface NamespaceRange {
  readonly containerId: number;
  readonly hostId: number;
  readonly size: number;
}

const LIMIT_MS = 5000;

/**
 * Makes a user namespace with the given maps, for idmapped mounts. Needs CAP_SETUID and CAP_SETGID in this one.
 * @throws StoreError `system`
 */
export async function holdUserNamespace(
  uids: readonly NamespaceRange[],
  gids: readonly NamespaceRange[],
): Promise<HeldUserNamespace> {
  // A thread of this process cannot make one; the child sits in it until the descriptor is open.
  const child = spawn('unshare', ['--user', 'sleep', '60'], { stdio: 'ignore' });
  const gone = new Promise<never>((_, reject) => {
    child.once('error', (cause) =>
      reject(new StoreError('system', `making a user namespace: ${cause.message}`, { cause })),
    );
    child.once('exit', (code) =>
      reject(new StoreError('system', `making a user namespace: unshare ended with ${code}`)),
    );
  });
  gone.catch(() => {});
  try {
    const pid = await Promise.race([idInNamespace(child.pid), gone]);
    writeMaps(pid, uids, gids);
    const fd = openSync(`/proc/${pid}/ns/user`, 'r');
    return { fd, [Symbol.dispose]: () => closeSync(fd) };
  } finally {
    child.kill('SIGKILL');
  }
}

/**
 * Gives the new user namespace of a process its ids. Needs CAP_SETUID and CAP_SETGID in the namespace around it.
 * @throws a system error
 */
export function writeMaps(
  pid: number,
  uids: readonly NamespaceRange[],
  gids: readonly NamespaceRange[],
): void {
  writeFileSync(`/proc/${pid}/uid_map`, mapText(uids));
  writeFileSync(`/proc/${pid}/gid_map`, mapText(gids));
}

/** Waits until the child has left this process's namespace. */
async function idInNamespace(pid: number | undefined): Promise<number> {
  const own = readlinkSync('/proc/self/ns/user');
  for (let waitedMs = 0; waitedMs < LIMIT_MS; waitedMs += 2) {
    if (pid !== undefined && readlinkSync(`/proc/${pid}/ns/user`) !== own) return pid;
    await delay(2);
  }
  throw new StoreError('system', 'making a user namespace: unshare does not answer');
}

function mapText(ranges: readonly NamespaceRange[]): string {
  return ranges.map(({ containerId, hostId, size }) => `${containerId} ${hostId} ${size}\n`).join('');
}
