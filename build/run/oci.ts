import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BuildError } from '../error.ts';
import { containerIdOf } from './container-id.ts';
import type { RunRequest, RunResult } from './contract.ts';
import { adoptOrphans } from './orphans.ts';
import type { RunPlan } from './plan.ts';
import { runtimeStart } from './reachable-root.ts';
import { guardContainer } from './runtime-guard.ts';
import { runtimeFailure, tellLog } from './runtime-log.ts';
import { createAndStart, type RuntimeCall, type RuntimeEnd, runAtOnce } from './runtime-operations.ts';
import { specJson } from './runtime-spec.ts';
import { type CommandStdio, openStdio, openTerminalStdio } from './stdio.ts';
import { ownsTerminal } from './terminal.ts';

/** The runtime's own environment: nothing of ours but where to find its helpers (SECURITY I10, B15). */
const RUNTIME_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Runtimes whose `run` does create, start, wait and delete in one process, in little more than half the time. The
 * specification has no such operation, and what wraps a runtime may act on `create` alone (NVIDIA's does).
 */
const WITH_RUN: readonly string[] = ['crun', 'runc', 'youki'];

export interface RuntimeChoice {
  /** Absolute path of the runtime. */
  readonly path: string;
  readonly flags: readonly string[];
}

/**
 * Runs a planned command with an OCI runtime, from a bundle in the state directory.
 * @throws BuildError `runtime` where the runtime fails; the abort reason when the signal aborts
 */
export async function runWithRuntime(
  request: RunRequest,
  plan: RunPlan,
  runtime: RuntimeChoice,
): Promise<RunResult> {
  const bundle = request.stateDirectory;
  const id = containerIdOf(bundle);
  const logFile = join(bundle, 'runtime.log');
  const environment = { PATH: RUNTIME_PATH };
  await using _strays = adoptOrphans();
  using start = runtimeStart(plan, request.rootfs);
  const spec = { ...plan.spec, root: { ...plan.spec.root, path: start.rootfs } };
  writeFileSync(join(bundle, 'config.json'), specJson(spec), { mode: 0o600 });
  const flags = runtimeFlags(request, runtime);
  const guarded = { id, bundle, mountPoint: start.mountPoint };
  const ownTerminal = request.terminal === true && ownsTerminal(request);
  const stdio =
    request.terminal && !ownTerminal ? openTerminalStdio(request) : openStdio(request, plan.userOwner);
  await using guard = guardContainer(guarded, [runtime.path, ...flags], environment);
  const call: RuntimeCall = {
    ...{ path: runtime.path, flags, start, stdio, guard, environment, bundle, id },
    logFlags: ['--log', logFile, '--log-format', 'json'],
    containerFlags: containerFlags(request),
    pidFile: join(bundle, 'pid'),
    sharesTerminal: ownTerminal,
  };
  let isOver = false;
  const kill = () => void killContainer(call, () => isOver);
  request.signal?.addEventListener('abort', kill, { once: true });
  if (request.signal?.aborted) kill();
  try {
    const end = await runner(request, runtime)(call);
    await settle(stdio, request);
    if (runtime.flags.includes('--debug')) tellLog(logFile, request);
    request.signal?.throwIfAborted();
    checkEnd(end, logFile, `running ${JSON.stringify(plan.spec.process.args[0])} with ${runtime.path}`);
    return { exitCode: end.exitCode };
  } finally {
    isOver = true;
    request.signal?.removeEventListener('abort', kill);
    stdio.abandon();
  }
}

/** A terminal goes to a created container through a socket that hands on descriptors, which Node cannot receive. */
function runner(request: RunRequest, { path }: RuntimeChoice): (call: RuntimeCall) => Promise<RuntimeEnd> {
  return request.terminal || WITH_RUN.includes(basename(path)) ? runAtOnce : createAndStart;
}

/** The runtime's records of this container live and die with the bundle: no shared directory, no XDG_RUNTIME_DIR. */
function runtimeFlags(request: RunRequest, { flags }: RuntimeChoice): string[] {
  return [
    ...['--root', join(request.stateDirectory, 'runtime'), ...flags],
    ...(request.cgroupManager === 'systemd' ? ['--systemd-cgroup'] : []),
  ];
}

function containerFlags({ isolation, noPivot }: RunRequest): string[] {
  return [...(isolation === 'rootless' ? ['--no-new-keyring'] : []), ...(noPivot ? ['--no-pivot'] : [])];
}

function checkEnd({ failure }: RuntimeEnd, logFile: string, what: string): void {
  const complaint = runtimeFailure(logFile) ?? failure;
  if (complaint === undefined) return;
  throw new BuildError('runtime', `${what}: ${complaint}`, { exitCode: startExitCode(complaint) });
}

/** 127 for a command that is not there, as shells say it; else the runtime's own 1, as Buildah passes it on. */
function startExitCode(complaint: string): number {
  if (!/exec:? /.test(complaint)) return 1;
  return /executable file not found|no such file or directory/i.test(complaint) ? 127 : 1;
}

/** Everything in the container is dead now, so the pipes end; a hook's daemon may hold one, and is not waited for. */
async function settle(stdio: CommandStdio, request: RunRequest): Promise<void> {
  const giveUp = new AbortController();
  await Promise.race([
    stdio.finished(),
    sleep(request.signal?.aborted ? 200 : 10_000, undefined, { signal: giveUp.signal }).catch(
      () => undefined,
    ),
  ]).finally(() => giveUp.abort());
}

/** Kills the container's first process, with which its pid namespace dies; the runtime then cleans up and ends. */
async function killContainer(call: RuntimeCall, isOver: () => boolean): Promise<void> {
  for (let tries = 0; !isOver(); tries += 1) {
    const pid = existsSync(call.pidFile) ? Number(readFileSync(call.pidFile, 'utf8')) : 0;
    try {
      if (pid > 1) process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
    if (tries === 250) call.runtimeProcess?.kill('SIGKILL');
    await sleep(20);
  }
}
