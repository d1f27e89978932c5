import { type ChildProcess, type IOType, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { type NamespaceRange, writeMaps } from '../../store/kernel/user-namespace.ts';
import { hostIds } from './namespaces.ts';
import { raiseHardLimits, type TextLimit } from './rlimits.ts';
import type { SpecIdMapping, SpecLinux, SpecMount } from './runtime-spec.ts';

/** Says that it is in the namespace, waits for the ids and limits that only its parent can give it, and goes on. */
const WAIT = 'echo made >&5; read -r word <&5 || exit 125; exec 5>&-; exec "$@"';

type Descriptors = readonly (number | IOType)[];

/**
 * Starts a program in a user namespace of the spec's ids and in a mount namespace that belongs to it. The program still
 * runs as who we are, so that it can be read from where we are installed, with all capabilities in that namespace.
 * @param stdio descriptors 0 to 4 of the program; 5 is taken
 * @throws an error whose `syscall` is "unshare"
 */
export async function spawnInUserNamespace(
  words: readonly string[],
  { stdio, linux, limits }: { stdio: Descriptors; linux: SpecLinux; limits: readonly TextLimit[] },
): Promise<ChildProcess> {
  const child = spawn(
    'unshare',
    ['--user', '--mount', '--keep-caps', '--', '/bin/sh', '-c', WAIT, 'wait', ...words],
    { stdio: [...stdio, 'pipe'], env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }, cwd: '/', detached: true },
  );
  const gate = child.stdio.at(5) as Duplex;
  try {
    await Promise.race([
      once(gate, 'data'),
      once(child, 'exit').then(([code]) => Promise.reject(new Error(`unshare ended with ${code}`))),
    ]);
    const pid = child.pid ?? 0;
    writeMaps(pid, ranges(linux.uidMappings), ranges(linux.gidMappings));
    raiseHardLimits(pid, limits);
    gate.end('go\n');
    return child;
  } catch (error) {
    child.kill('SIGKILL');
    const message = `making a user namespace: ${(error as Error).message}`;
    throw Object.assign(new Error(message, { cause: error }), { syscall: 'unshare' });
  }
}

function ranges(mappings: readonly SpecIdMapping[] = []): NamespaceRange[] {
  return mappings.map(({ containerID, hostID, size }) => ({
    containerId: containerID,
    hostId: hostID,
    size,
  }));
}

/** The ids of a user of the container outside its user namespace. */
export function idsOutside({ uidMappings, gidMappings }: SpecLinux, uid: number, gid: number) {
  return hostIds(uidMappings && gidMappings && { uids: uidMappings, gids: gidMappings }, uid, gid);
}

/** Ids among a mount's options as the mounting thread has to give them, which stays outside the user namespace. */
export function mountedOutside(one: SpecMount, linux: SpecLinux): SpecMount {
  if (!linux.uidMappings) return one;
  const options = one.type === 'tmpfs' ? ['uid=0', 'gid=0', ...one.options] : one.options;
  return { ...one, options: options.map((option) => optionOutside(option, linux)) };
}

function optionOutside(option: string, linux: SpecLinux): string {
  const [, name, id] = /^(uid|gid)=(\d+)$/.exec(option) ?? [];
  if (name === 'uid') return `uid=${idsOutside(linux, Number(id), 0).uid}`;
  return name === 'gid' ? `gid=${idsOutside(linux, 0, Number(id)).gid}` : option;
}
