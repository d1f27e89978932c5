import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { parentPort } from 'node:worker_threads';
import {
  CLONE,
  chownDescriptor,
  closeDescriptor,
  OPEN,
  openAt,
  PR,
  processControl,
  setFileCreationMask,
  setHostname,
  setNamespace,
  unshare,
} from '../../store/kernel/index.ts';
import { workerUrl } from '../../store/kernel/worker-url.ts';
import type { ChrootEvent, ChrootJob } from './chroot.ts';
import { confine, prepareFilter } from './chroot-confine.ts';
import type { ExecJob } from './chroot-exec.worker.ts';
import {
  bindRoot,
  closeNodes,
  descriptorPath,
  enterRoot,
  mountAll,
  protectPaths,
} from './chroot-filesystem.ts';
import { idsOutside, spawnInUserNamespace } from './chroot-user-namespace.ts';
import { raiseLoopback } from './loopback.ts';
import { openInRoot, type RootHandle } from './rooted-path.ts';
import type { RuntimeSpec, SpecNamespaceType } from './runtime-spec.ts';
import { openTerminalPair } from './terminal.ts';

/**
 * What becomes a container: it moves itself into new namespaces, mounts, changes root, gives up its privileges, and
 * starts the command as its child. A process of its own, with the job on descriptor 3 and events on descriptor 4, or a
 * thread that does all of that alone, outside of which the process's other threads stay.
 */
const JOB = 3;
const EVENTS = 4;
/** The process that asks; absent in a thread. */
const asker = process.argv[2];
const port = asker === undefined ? parentPort : null;
const send = (event: ChrootEvent) => {
  if (port) return port.postMessage(event);
  try {
    writeSync(EVENTS, `${JSON.stringify(event)}\n`);
  } catch {
    // Nobody reads any more.
    process.exit(1);
  }
};

// A closing socket asks whether it is this one. Node would make it then, and the pipe behind it non-blocking, which is
// the command's too: what it writes faster than anyone reads would be lost.
if (!port) Object.defineProperty(process, 'stderr', { value: null });

// Loads the native library, and what starts processes, now, while nobody waits.
processControl(PR.capbsetRead, 0);
process.getBuiltinModule('node:child_process');

const { promise: filter, resolve: takeFilter } = Promise.withResolvers<string | undefined>();
if (port) {
  port.once('message', (job: string) => {
    port.once('message', receiveFilter);
    void take(job);
  });
} else readJob();

/** The pipe ends when the process at its other end does: everything here goes with it. */
function readJob(): void {
  let rest = '';
  const receivers = [take, receiveFilter];
  const pipe = new Socket({ fd: JOB, readable: true, writable: false });
  pipe.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) void receivers.shift()?.(line);
  });
  for (const event of ['end', 'error']) pipe.once(event, () => process.exit(1));
}

function receiveFilter(text: string): void {
  takeFilter((JSON.parse(text) as { readonly filter?: string }).filter);
}

async function take(text: string): Promise<void> {
  try {
    const job = JSON.parse(text) as ChrootJob;
    await run(port ? job : withOwnDescriptors(job));
  } catch (error) {
    send({ kind: 'failed', error: describe(error) });
  }
}

/** Descriptors of the process that asks, which are pipes, are opened anew. Where it is gone there is nothing to do. */
function withOwnDescriptors(job: ChrootJob): ChrootJob {
  const own = <Kind extends string>(value: number | Kind, flags: number) => {
    if (typeof value !== 'number') return value;
    const fd = openAt(-100, `/proc/${asker}/fd/${value}`, flags);
    // As long as it is the parent, no other process has its number.
    if (`${process.ppid}` !== asker) process.exit(1);
    return fd;
  };
  const [input, output, errors] = job.stdio;
  return {
    ...job,
    stdio: [own(input, OPEN.readOnly), own(output, OPEN.writeOnly), own(errors, OPEN.writeOnly)],
  };
}

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
 * Mounts /proc as a member of the new pid namespace and then waits, as its first process, for the end of a pipe that
 * only this process holds: when that ends, the guard ends, and the kernel kills whatever is left in the namespace.
 * The shell waits for `cat`, because a shell that waits reaps every orphan that ends meanwhile, and nothing that ends
 * can wake it too early; where the command kills `cat`, `read` goes on waiting. `cat` has started when it hands back
 * the line that it is given: no program is looked up once the root file system is the image's.
 */
const GUARD = `trap '' HUP INT TERM
mount -c -n -t proc -o nosuid,nodev,noexec proc . || printf 'refused '
cd /
cat || echo
while read -r word; do :; done`;
const READY = 'ready';
/** Without a pid namespace of its own the command's session is all that can be killed. */
const SESSION_GUARD = `trap '' HUP INT TERM
read -r pid || exit 0
read -r word
kill -9 "-$pid"`;

async function run(job: ChrootJob): Promise<void> {
  const { spec } = job;
  const pids = spec.linux.namespaces.find(({ type }) => type === 'pid');
  const maySetGroups = readFileSync('/proc/self/setgroups', 'utf8').trim() !== 'deny';
  enterNamespaces(spec);
  setFileCreationMask(0o022);
  // The first process of a new pid namespace is the guard of all others.
  let guard: ChildProcess | undefined;
  const root = bindRoot(spec.root.path);
  closeNodes(root, spec);
  await mountAll(root, spec, async (target) => {
    if (!pids) return false;
    const first = startGuard(GUARD, descriptorPath(target));
    first.stdin?.write(`${READY}\n`);
    if (pids.path === undefined) {
      guard = first;
      send({ kind: 'guarded', pid: first.pid ?? 0 });
    }
    const mounted = (await firstLine(first)) === READY;
    if (first !== guard) await dismiss(first);
    return mounted;
  });
  const sessionGuard = guard ? undefined : startGuard(SESSION_GUARD, '/');
  protectPaths(root, spec);
  if (spec.hostname && spec.linux.namespaces.some(({ type }) => type === 'uts')) setHostname(spec.hostname);
  const start = job.separateProcess ? startSeparately : startHere;
  const ended = await runToEnd(async () => {
    const started = await start(job, await filter, root, maySetGroups);
    if (!port) for (const one of job.stdio) if (typeof one === 'number') closeDescriptor(one);
    return started;
  }, sessionGuard);
  await dismiss(guard ?? sessionGuard);
  send({ kind: 'ended', ...ended });
}

/** Ends a guard and, with it, whatever it guards. */
async function dismiss(guard: ChildProcess | undefined): Promise<void> {
  guard?.stdin?.end();
  if (guard && guard.exitCode === null && guard.signalCode === null)
    await new Promise((resolve) => guard.once('exit', resolve));
}

function enterNamespaces(spec: RuntimeSpec): void {
  // A user namespace takes a process of one thread: it is made for the command alone.
  const fresh = spec.linux.namespaces.filter(({ type, path }) => path === undefined && type !== 'user');
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

interface Started {
  readonly child: ChildProcess;
  /** Resolves to the reason where the command could not be started after all. */
  readonly failure?: Promise<Failure | undefined>;
}
type Failure = Extract<ChrootEvent, { kind: 'failed' }>['error'];

/** Becomes what the command is to be, as a thread, and starts it. */
function startHere(
  { spec, stdio, noPivot }: ChrootJob,
  filter: string | undefined,
  root: RootHandle,
  maySetGroups: boolean,
): Started {
  const installFilter =
    filter === undefined
      ? undefined
      : prepareFilter(Buffer.from(filter, 'base64'), spec.linux.seccomp?.flags);
  enterRoot(root, spec.process.cwd, noPivot);
  confine({ process: spec.process, installFilter, maySetGroups });
  const [file = '', ...rest] = spec.process.args;
  const environment = Object.fromEntries(
    spec.process.env.map((entry) => [
      entry.slice(0, entry.indexOf('=')),
      entry.slice(entry.indexOf('=') + 1),
    ]),
  );
  return { child: spawn(file, rest, { stdio, env: environment, detached: true }) };
}

/** Starts the process that becomes the command, with a terminal of the container's own devpts where one is wanted. */
async function startSeparately(
  job: ChrootJob,
  filter: string | undefined,
  root: RootHandle,
  maySetGroups: boolean,
): Promise<Started> {
  const { spec } = job;
  let [input, output, errors] = job.stdio;
  if (spec.process.terminal) {
    const pair = openTerminalPair((name, flags) => openInRoot(root, `/dev/pts/${name}`, flags));
    const owner = idsOutside(spec.linux, spec.process.user.uid, spec.process.user.gid);
    chownDescriptor(pair.slave, owner.uid, owner.gid);
    input = output = errors = pair.slave;
    send({ kind: 'terminal', master: pair.master });
  }
  const { limits, noPivot } = job;
  const program = fileURLToPath(workerUrl('build/run/chroot-exec.worker.ts'));
  const words = [process.execPath, '--disable-warning=ExperimentalWarning', program] as const;
  const stdio = [input, output, errors, 'pipe' as const, 'pipe' as const];
  const child = spec.linux.uidMappings
    ? await spawnInUserNamespace(words, { stdio, linux: spec.linux, limits })
    : spawn(words[0], words.slice(1), { stdio, env: {}, cwd: '/', detached: true });
  if (spec.process.terminal && typeof input === 'number') closeDescriptor(input);
  (child.stdio[3] as Writable).end(
    JSON.stringify({ spec, limits, filter, maySetGroups, noPivot } satisfies ExecJob),
  );
  return { child, failure: readFailure(child.stdio[4] as Readable) };
}

async function readFailure(pipe: Readable): Promise<Failure | undefined> {
  const text = (await pipe.setEncoding('utf8').toArray()).join('');
  return text === '' ? undefined : (JSON.parse(text) as Failure);
}

/** @param sessionGuard a guard that has to know what to kill */
async function runToEnd(
  start: () => Started | Promise<Started>,
  sessionGuard: ChildProcess | undefined,
): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  const { child, failure } = await start();
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  if (child.pid !== undefined) {
    sessionGuard?.stdin?.write(`${child.pid}\n`);
    send({ kind: 'started', pid: child.pid });
  }
  const result = await ended;
  const reason = await failure;
  if (reason) throw Object.assign(new Error(reason.message), { code: reason.code, syscall: reason.syscall });
  return result;
}

function describe(error: unknown): { code: string; message: string; syscall: string } {
  const { code, message, syscall } = error as NodeJS.ErrnoException;
  return { code: code ?? '', message, syscall: syscall ?? '' };
}
