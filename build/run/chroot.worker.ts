import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import {
  CLONE,
  closeDescriptor,
  OPEN,
  openAt,
  setFileCreationMask,
  setHostname,
  setNamespace,
  unshare,
} from '../../store/kernel/index.ts';
import type { ChrootEvent, ChrootJob } from './chroot.ts';
import { confine } from './chroot-confine.ts';
import { bindRoot, descriptorPath, enterRoot, mountAll, protectPaths } from './chroot-filesystem.ts';
import { raiseLoopback } from './loopback.ts';
import type { RuntimeSpec, SpecNamespaceType } from './runtime-spec.ts';

/**
 * The thread that becomes a container: it moves itself alone into new namespaces, mounts, changes root, gives up its
 * privileges, and starts the command as its child. The process's other threads stay outside all of that.
 */
const port = parentPort;
if (!port) throw new Error('this file runs as a worker thread');
const send = (event: ChrootEvent) => port.postMessage(event);

port.once('message', (job: ChrootJob) => {
  run(job).catch((error: unknown) => send({ kind: 'failed', error: describe(error) }));
});

const FLAGS: Readonly<Record<SpecNamespaceType, number>> = {
  pid: CLONE.newPid,
  network: CLONE.newNet,
  ipc: CLONE.newIpc,
  uts: CLONE.newUts,
  mount: CLONE.newNs,
  cgroup: CLONE.newCgroup,
  user: CLONE.newUser,
};

/**
 * Mounts /proc as a member of the new pid namespace and then waits, as its first process, for a pipe that only this
 * process holds: when that ends, the guard ends, and the kernel kills whatever is left in the namespace.
 * Ignoring SIGCHLD lets the kernel reap orphans.
 */
const GUARD = `trap '' CHLD HUP INT TERM
if mount -c -n -t proc -o nosuid,nodev,noexec proc .; then echo mounted; else echo refused; fi
exec 1>&-
cd /
read -r word`;
/** Without a pid namespace of its own the command's session is all that can be killed. */
const SESSION_GUARD = `trap '' HUP INT TERM
read -r pid || exit 0
read -r word
kill -9 "-$pid"`;

async function run(job: ChrootJob): Promise<void> {
  const { spec } = job;
  const types = new Set(spec.linux.namespaces.map((namespace) => namespace.type));
  const maySetGroups = readFileSync('/proc/self/setgroups', 'utf8').trim() !== 'deny';
  enterNamespaces(spec);
  setFileCreationMask(0o022);
  let guard: ChildProcess | undefined;
  const root = bindRoot(spec.root.path);
  await mountAll(root, spec, async (target) => {
    guard = startGuard(GUARD, descriptorPath(target));
    send({ kind: 'guarded', pid: guard.pid ?? 0 });
    return types.has('pid') && (await firstLine(guard)) === 'mounted';
  });
  if (!types.has('pid')) guard = startGuard(SESSION_GUARD, '/');
  protectPaths(root, spec);
  if (types.has('uts') && spec.hostname) setHostname(spec.hostname);
  enterRoot(root, spec.process.cwd);
  confine({ process: spec.process, filter: job.filter, maySetGroups });
  const ended = await command(job, guard);
  guard?.stdin?.end();
  if (guard && guard.exitCode === null && guard.signalCode === null)
    await new Promise((resolve) => guard?.once('exit', resolve));
  send({ kind: 'ended', ...ended });
}

function enterNamespaces(spec: RuntimeSpec): void {
  const fresh = spec.linux.namespaces.filter((namespace) => namespace.path === undefined);
  unshare(fresh.reduce((flags, { type }) => flags | FLAGS[type], CLONE.fs | CLONE.newNs));
  for (const { type, path } of spec.linux.namespaces) {
    if (path === undefined) continue;
    const fd = openAt(-100, path, OPEN.readOnly);
    setNamespace(fd, FLAGS[type]);
    closeDescriptor(fd);
  }
  if (fresh.some(({ type }) => type === 'network')) raiseLoopback();
}

function startGuard(script: string, cwd: string): ChildProcess {
  return spawn('/bin/sh', ['-c', script], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    cwd,
    detached: true,
  });
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.stdout?.setEncoding('utf8').once('data', (text: string) => resolve(text.trim()));
    child.stdout?.once('end', () => resolve(''));
    child.once('error', () => resolve(''));
  });
}

function command(
  job: ChrootJob,
  guard: ChildProcess | undefined,
): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  const { args, env } = job.spec.process;
  const [file = '', ...rest] = args;
  const environment = Object.fromEntries(
    env.map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]),
  );
  return new Promise((resolve, reject) => {
    const child = spawn(file, rest, { stdio: job.stdio, env: environment, detached: true });
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve({ code, signal }));
    if (child.pid !== undefined) {
      if (!job.spec.linux.namespaces.some(({ type }) => type === 'pid'))
        guard?.stdin?.write(`${child.pid}\n`);
      send({ kind: 'started', pid: child.pid });
    }
  });
}

function describe(error: unknown): { code: string; message: string; syscall: string } {
  const { code, message, syscall } = error as NodeJS.ErrnoException;
  return { code: code ?? '', message, syscall: syscall ?? '' };
}
