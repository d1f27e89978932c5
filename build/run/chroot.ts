import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { BuildError, type BuildErrorCode } from '../error.ts';
import { type ChrootHost, type ChrootProcess, startProcess, startThread } from './chroot-host.ts';
import type { RunRequest, RunResult } from './contract.ts';
import type { RunPlan } from './plan.ts';
import type { TextLimit } from './rlimits.ts';
import type { RuntimeSpec, SpecSeccomp } from './runtime-spec.ts';
import { openStdio } from './stdio.ts';
import { TerminalRelay } from './terminal.ts';

/** What the worker is told, as JSON. */
export interface ChrootJob {
  readonly spec: RuntimeSpec;
  /** The spec's resource limits with their 64-bit numbers as text. */
  readonly limits: readonly TextLimit[];
  /** The last step has to be a process of its own: see chroot-exec.worker.ts. */
  readonly separateProcess: boolean;
  readonly noPivot?: boolean;
  /** Numbers are descriptors of the process that asks. */
  readonly stdio: [number | 'ignore' | 'inherit', number | 'inherit', number | 'inherit'];
}

export type ChrootEvent =
  | { readonly kind: 'guarded'; readonly pid: number }
  | { readonly kind: 'terminal'; readonly master: number }
  | { readonly kind: 'started'; readonly pid: number }
  | { readonly kind: 'ended'; readonly code: number | null; readonly signal: NodeJS.Signals | null }
  | {
      readonly kind: 'failed';
      readonly error: { readonly code: string; readonly message: string; readonly syscall: string };
    };

let spare: ChrootProcess | undefined;

/** Boots the process of the next run beforehand, which takes longer than all the rest of it. */
export function prepareHost(): void {
  if (!spare?.isAlive) spare = startProcess();
}

function takeHost({ terminal }: RunRequest): ChrootHost {
  if (terminal) return startThread();
  prepareHost();
  const host = spare as ChrootHost;
  spare = undefined;
  return host;
}

/**
 * Runs a planned command without any runtime: a process of ours enters the namespaces and the root file system and
 * starts it. Works as root, and inside a user namespace as an ordinary user.
 * @throws BuildError `isolation-unavailable` where the kernel refuses the namespaces, `run-failed` where the command
 * cannot be started (127 not found, 126 not executable); the abort reason when the signal aborts
 */
export async function runInChroot(request: RunRequest, plan: RunPlan): Promise<RunResult> {
  checkPossible(request, plan);
  const host = takeHost(request);
  const stdio = openStdio(request.terminal ? { ...request, ...NO_STREAMS } : request, plan.userOwner);
  let relay: TerminalRelay | undefined;
  let victim = 0;
  const kill = () => {
    if (victim > 0) killProcess(victim);
  };
  request.signal?.addEventListener('abort', kill, { once: true });
  try {
    const filter = compileFilter(request, plan);
    const job = makeJob(request, plan, stdio.descriptors);
    const last = await host.run(job, filter, (event) => {
      // The guard is the first process of the pid namespace: its death is everyone's.
      if (event.kind === 'guarded' || (event.kind === 'started' && victim === 0)) victim = event.pid;
      if (event.kind === 'started') {
        stdio.started();
        if (request.anotherFollows) prepareHost();
      }
      if (event.kind === 'terminal') relay = new TerminalRelay(event.master, request);
      if (request.signal?.aborted) kill();
    });
    stdio.started();
    await Promise.race([
      Promise.all([stdio.finished(), relay?.finished()]),
      sleep(10_000, undefined, { ref: false }),
    ]);
    request.signal?.throwIfAborted();
    if (last.kind === 'failed') throw startError(last.error, plan.spec.process.args[0] ?? '');
    return last.signal === null
      ? { exitCode: last.code ?? 1 }
      : { exitCode: 128 + signalNumber(last.signal), signal: last.signal };
  } finally {
    request.signal?.removeEventListener('abort', kill);
    stdio.abandon();
    await host.end();
  }
}

/** Says what this isolation cannot do: an error where the command would be less confined than asked, else a word. */
function checkPossible(request: RunRequest, { spec }: RunPlan): void {
  const hint = 'Use an OCI runtime (--isolation oci).';
  if (spec.linux.namespaces.some(({ type, path }) => type === 'user' && path !== undefined))
    throw new BuildError('unsupported', 'chroot isolation cannot join a user namespace', { hint });
  if (spec.process.apparmorProfile && usesAppArmor())
    throw new BuildError('unsupported', 'chroot isolation cannot apply AppArmor profiles', { hint });
  const { memory, cpu, pids } = spec.linux.resources ?? {};
  if (memory || cpu || pids)
    request.onWarning?.('chroot isolation sets no cgroup limits: memory, CPU and process limits are ignored');
}

function usesAppArmor(): boolean {
  try {
    return readFileSync('/sys/module/apparmor/parameters/enabled', 'utf8').startsWith('Y');
  } catch {
    // No such module.
    return false;
  }
}

/** A terminal takes the place of the three streams. */
const NO_STREAMS = { stdin: 'ignore', stdout: 'inherit', stderr: 'inherit' } as const;

function makeJob(request: RunRequest, plan: RunPlan, stdio: ChrootJob['stdio']): ChrootJob {
  return {
    spec: plan.spec,
    limits: plan.spec.process.rlimits.map(({ type, soft, hard }) => ({
      type,
      soft: `${soft}`,
      hard: `${hard}`,
    })),
    separateProcess: needsProcess(request, plan),
    noPivot: request.noPivot,
    stdio,
  };
}

function needsProcess(request: RunRequest, plan: RunPlan): boolean {
  const ownUsers = plan.spec.linux.namespaces.some(({ type }) => type === 'user');
  return plan.ulimitsGiven || plan.ownSeccomp || request.terminal === true || ownUsers;
}

/**
 * The event loop of a thread goes on using the io_uring that libuv made for it before the filter came. Entering a ring
 * does no harm without io_uring_setup, which stays forbidden: the command has no ring to enter.
 */
function livableForThread(seccomp: SpecSeccomp): SpecSeccomp {
  const ring = { names: ['io_uring_enter'], action: 'SCMP_ACT_ALLOW' };
  return { ...seccomp, syscalls: [ring, ...(seccomp.syscalls ?? [])] };
}

/** Programs of the profiles seen, in Base64, since the runs of a build mostly share one. */
const filters = new Map<string, string>();

/** The default profile gives way, with a word, on processors that the compiler does not know; a chosen one does not. */
async function compileFilter(request: RunRequest, plan: RunPlan): Promise<string | undefined> {
  const { seccomp } = plan.spec.linux;
  if (!seccomp) return undefined;
  const { compileSeccomp } = await import('./seccomp-filter.ts');
  try {
    const wanted = needsProcess(request, plan) ? seccomp : livableForThread(seccomp);
    const key = JSON.stringify(wanted);
    const program = filters.get(key) ?? compileSeccomp(wanted).toString('base64');
    filters.set(key, program);
    return program;
  } catch (error) {
    if (!(error instanceof BuildError) || error.code !== 'unsupported' || plan.ownSeccomp) throw error;
    request.onWarning?.(`${error.message}; running without`);
    return undefined;
  }
}

function killProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

function startError(error: { code: string; message: string; syscall: string }, command: string): BuildError {
  if (error.syscall.startsWith('spawn') || error.syscall === 'execve') return spawnError(error.code, command);
  if (error.syscall === 'unshare' || error.syscall === 'setns') {
    return new BuildError('isolation-unavailable', `chroot isolation: ${error.message}`, {
      hint: 'It needs root, or a user namespace of its own (buildah unshare).',
    });
  }
  const known: readonly string[] = ['unsafe-path', 'bad-mount', 'bad-user'] satisfies BuildErrorCode[];
  const code = known.includes(error.code) ? (error.code as BuildErrorCode) : 'run-failed';
  return new BuildError(code, `running ${JSON.stringify(command)}: ${error.message}`);
}

function spawnError(code: string, command: string): BuildError {
  const shown = JSON.stringify(command);
  if (code === 'ENOENT' && !command.includes('/'))
    return new BuildError('run-failed', `exec: ${shown}: executable file not found in $PATH`, {
      exitCode: 127,
    });
  if (code === 'ENOENT')
    return new BuildError('run-failed', `exec: ${shown}: no such file or directory`, { exitCode: 127 });
  if (code === 'EACCES')
    return new BuildError('run-failed', `exec: ${shown}: permission denied`, { exitCode: 126 });
  const reason = code === 'ENOEXEC' ? 'exec format error' : code;
  return new BuildError('run-failed', `exec: ${shown}: ${reason}`, { exitCode: 126 });
}

function signalNumber(signal: NodeJS.Signals): number {
  return constants.signals[signal];
}
