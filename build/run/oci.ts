import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BuildError } from '../error.ts';
import { containerIdOf } from './container-id.ts';
import type { RunRequest, RunResult } from './contract.ts';
import type { RunPlan } from './plan.ts';
import { runtimeStart } from './reachable-root.ts';
import { specJson } from './runtime-spec.ts';
import { openStdio, openTerminalStdio } from './stdio.ts';
import { ownsTerminal } from './terminal.ts';

/** The runtime's own environment: nothing of ours but where to find its helpers (SECURITY I10, B15). */
const RUNTIME_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Waits on a pipe that only this process holds. When the process dies without a word, the pipe ends and the shell
 * kills the runtime, deletes the container and removes its directory; after a word it just ends.
 */
const GUARD = `read -r pid || exit 0
read -r word && exit 0
kill -9 "$pid"
id=$1 state=$2 mountpoint=$3
shift 3
tries=0
until "$@" delete --force "$id" || [ "$tries" -ge 20 ]; do sleep 0.1; tries=$((tries + 1)); done
rm -rf "$state"
[ -z "$mountpoint" ] || rmdir "$mountpoint"`;

export interface RuntimeChoice {
  /** Absolute path of the runtime. */
  readonly path: string;
  readonly flags: readonly string[];
}

/**
 * Runs a planned command with an OCI runtime: writes the bundle into the state directory and lets `run` do create,
 * start, wait and delete in one process.
 * @throws BuildError `runtime` where the runtime fails; the abort reason when the signal aborts
 */
export async function runWithRuntime(
  request: RunRequest,
  plan: RunPlan,
  runtime: RuntimeChoice,
): Promise<RunResult> {
  const id = containerIdOf(request.stateDirectory);
  const bundle = request.stateDirectory;
  const logFile = join(bundle, 'runtime.log');
  const pidFile = join(bundle, 'pid');
  using start = runtimeStart(plan, request.rootfs);
  const spec = { ...plan.spec, root: { ...plan.spec.root, path: start.rootfs } };
  writeFileSync(join(bundle, 'config.json'), specJson(spec), { mode: 0o600 });
  const environment = { PATH: RUNTIME_PATH };
  // The runtime's records of this container live and die with the bundle: no shared directory, no XDG_RUNTIME_DIR.
  const runtimeFlags = [
    ...['--root', join(bundle, 'runtime'), ...runtime.flags],
    ...(request.cgroupManager === 'systemd' ? ['--systemd-cgroup'] : []),
  ];
  const runFlags = [
    ...(request.isolation === 'rootless' ? ['--no-new-keyring'] : []),
    ...(request.noPivot ? ['--no-pivot'] : []),
  ];
  const ownTerminal = request.terminal === true && ownsTerminal(request);
  const stdio =
    request.terminal && !ownTerminal ? openTerminalStdio(request) : openStdio(request, plan.userOwner);
  const guarded = [id, bundle, start.mountPoint ?? '', runtime.path, ...runtimeFlags];
  const guard = spawn('/bin/sh', ['-c', GUARD, 'guard', ...guarded], {
    stdio: ['pipe', 'ignore', 'ignore'],
    env: environment,
    cwd: '/',
    detached: true,
  });
  guard.on('error', () => undefined);
  const [program, ...words] = start.command([
    ...[runtime.path, '--log', logFile, '--log-format', 'json', ...runtimeFlags],
    ...['run', '--bundle', bundle, '--pid-file', pidFile, ...runFlags, id],
  ]);
  const child = spawn(program, words, {
    stdio: stdio.descriptors,
    env: environment,
    cwd: bundle,
    detached: !ownTerminal,
  });
  stdio.started();
  guard.stdin?.on('error', () => undefined);
  guard.stdin?.write(`${child.pid ?? 0}\n`);
  const kill = () => void killContainer(child, pidFile);
  request.signal?.addEventListener('abort', kill, { once: true });
  if (request.signal?.aborted) kill();
  try {
    const { code, signal } = await ended(child, runtime.path);
    await settle(stdio, request);
    if (runtime.flags.includes('--debug')) tellLog(logFile, request);
    request.signal?.throwIfAborted();
    const failure = runtimeFailure(logFile);
    if (failure !== undefined || signal !== null) {
      const what = failure ?? `the runtime was ended by ${signal}`;
      throw new BuildError(
        'runtime',
        `running ${JSON.stringify(plan.spec.process.args[0])} with ${runtime.path}: ${what}`,
        {
          exitCode: startExitCode(what),
        },
      );
    }
    return { exitCode: code ?? 1 };
  } finally {
    request.signal?.removeEventListener('abort', kill);
    stdio.abandon();
    guard.stdin?.end('done\n');
    // Whoever adopts the orphans of this process is to find none.
    if (guard.pid !== undefined && guard.exitCode === null) await once(guard, 'exit');
  }
}

/** 127 for a command that is not there, as shells say it; else the runtime's own 1, as Buildah passes it on. */
function startExitCode(complaint: string): number {
  if (!/exec:? /.test(complaint)) return 1;
  return /executable file not found|no such file or directory/i.test(complaint) ? 127 : 1;
}

function ended(child: ChildProcess, path: string): Promise<{ code: number | null; signal: string | null }> {
  return new Promise((resolve, reject) => {
    child.once('error', (cause) =>
      reject(new BuildError('runtime', `the OCI runtime ${path} could not be started`, { cause })),
    );
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
}

/** Everything in the container is dead now, so the pipes end; a hook's daemon may hold one, and is not waited for. */
async function settle(stdio: ReturnType<typeof openStdio>, request: RunRequest): Promise<void> {
  const giveUp = new AbortController();
  await Promise.race([
    stdio.finished(),
    sleep(request.signal?.aborted ? 200 : 10_000, undefined, { signal: giveUp.signal }).catch(
      () => undefined,
    ),
  ]).finally(() => giveUp.abort());
}

/** Kills the container's first process, with which its pid namespace dies; `run` then cleans up and ends. */
async function killContainer(child: ChildProcess, pidFile: string): Promise<void> {
  for (let tries = 0; child.exitCode === null && child.signalCode === null; tries += 1) {
    const pid = existsSync(pidFile) ? Number(readFileSync(pidFile, 'utf8')) : 0;
    try {
      if (pid > 1) process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
    if (tries === 250) child.kill('SIGKILL');
    await sleep(20);
  }
}

function logLine(json: string): string {
  const { time = '', level = '', msg = '' } = JSON.parse(json) as Record<string, string>;
  return `time="${time}" level=${level} msg=${JSON.stringify(msg)}\n`;
}

/** The log of the runtime, which was asked to say more, as if it had gone to the command's stderr. */
function tellLog(logFile: string, { stderr }: RunRequest): void {
  if (!existsSync(logFile)) return;
  const text = readFileSync(logFile, 'utf8').split('\n').filter(Boolean).map(logLine).join('');
  if (stderr === undefined || stderr === 'inherit') writeSync(2, text);
  else stderr.write(text);
}

/** The runtime's own complaint, from its log: what the command says goes to its own stderr. */
function runtimeFailure(logFile: string): string | undefined {
  if (!existsSync(logFile)) return undefined;
  const lines = readFileSync(logFile, 'utf8').trimEnd().split('\n').reverse();
  for (const line of lines) {
    if (line === '') continue;
    const entry = JSON.parse(line) as { level?: string; msg?: string };
    if (entry.level === 'error' || entry.level === 'fatal') return entry.msg ?? line;
  }
  return undefined;
}
