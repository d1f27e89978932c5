import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { BuildError } from '../error.ts';
import { type AdoptedProcess, adoptedProcess } from './orphans.ts';
import type { RuntimeStart } from './reachable-root.ts';
import type { RuntimeGuard } from './runtime-guard.ts';
import type { CommandStdio } from './stdio.ts';

/** One container of one runtime, and all that its operations need. */
export interface RuntimeCall {
  readonly path: string;
  /** Of every operation. */
  readonly flags: readonly string[];
  /** Of those whose complaints count. */
  readonly logFlags: readonly string[];
  /** Of the operations that make the container. */
  readonly containerFlags: readonly string[];
  readonly id: string;
  readonly bundle: string;
  /** Where the runtime notes the container's first process. */
  readonly pidFile: string;
  readonly start: RuntimeStart;
  readonly stdio: CommandStdio;
  readonly guard: RuntimeGuard;
  readonly environment: NodeJS.ProcessEnv;
  /** The runtime stays in the session of the terminal, which is this process's own. */
  readonly sharesTerminal: boolean;
  /** The operation under way. */
  runtimeProcess?: ChildProcess;
}

export interface RuntimeEnd {
  /** The command's, where nothing failed. */
  readonly exitCode: number;
  /** What an operation came to, where its exit alone says that it failed. */
  readonly failure?: string;
}

/** `run`: create, start, wait and delete in one process. Its failures are told from the command's by its log. */
export async function runAtOnce(call: RuntimeCall): Promise<RuntimeEnd> {
  const operation = startMaking(call, 'run');
  call.stdio.started();
  const { code, signal } = await operation;
  return { exitCode: code ?? 1, failure: signal === null ? neverMade(call, code ?? 1) : endedBy(signal) };
}

/** A runtime that stops at its own flags has no log yet, and the status of a failed command. */
function neverMade({ pidFile }: RuntimeCall, status: number): string | undefined {
  return status === 0 || existsSync(pidFile)
    ? undefined
    : `exit status ${status}, and no container was made: are all --runtime-flag known to it?`;
}

/** The operations of the runtime specification, one after the other. */
export async function createAndStart(call: RuntimeCall): Promise<RuntimeEnd> {
  try {
    const created = failureOf('create', await startMaking(call, 'create'));
    if (created !== undefined) return { exitCode: 1, failure: created };
    using first = firstProcess(call);
    const { path, flags, logFlags, id, stdio } = call;
    const starting = [path, ...logFlags, ...flags, 'start', id] as const;
    const started = failureOf(
      'start',
      await launch(call, starting, ['ignore', 'ignore', stdio.descriptors[2]]),
    );
    if (started !== undefined) return { exitCode: 1, failure: started };
    call.stdio.started();
    const exitCode = await first.end();
    return { exitCode: exitCode ?? 1, failure: exitCode === undefined ? 'its end was not seen' : undefined };
  } finally {
    call.stdio.started();
    await launch(call, [call.path, ...call.flags, 'delete', '--force', call.id], 'ignore');
  }
}

function firstProcess({ pidFile, path, guard }: RuntimeCall): AdoptedProcess {
  const pid = existsSync(pidFile) ? Number(readFileSync(pidFile, 'utf8')) : 0;
  if (!(pid > 1)) throw new BuildError('runtime', `${path} create: it noted no process in its --pid-file`);
  guard.watch(pid);
  return adoptedProcess(pid);
}

interface OperationEnd {
  readonly code: number | null;
  readonly signal: string | null;
}

function failureOf(operation: string, { code, signal }: OperationEnd): string | undefined {
  if (signal !== null) return endedBy(signal);
  return code === 0 ? undefined : `${operation}: exit status ${code}`;
}

function endedBy(signal: string): string {
  return `the runtime was ended by ${signal}`;
}

/** An operation that makes the container: it hands on the command's streams, and a mount of the root may precede it. */
function startMaking(call: RuntimeCall, operation: 'run' | 'create'): Promise<OperationEnd> {
  const { path, flags, logFlags, bundle, pidFile, containerFlags, id } = call;
  const making = [operation, '--bundle', bundle, '--pid-file', pidFile, ...containerFlags, id];
  const ending = launch(
    call,
    call.start.command([path, ...logFlags, ...flags, ...making]),
    call.stdio.descriptors,
  );
  if (call.runtimeProcess?.pid !== undefined) call.guard.watch(call.runtimeProcess.pid);
  return ending;
}

function launch(
  call: RuntimeCall,
  [program, ...words]: readonly [string, ...string[]],
  stdio: StdioOptions,
): Promise<OperationEnd> {
  const child = spawn(program, words, {
    stdio,
    env: call.environment,
    cwd: call.bundle,
    detached: !call.sharesTerminal,
  });
  call.runtimeProcess = child;
  return new Promise((resolve, reject) => {
    child.once('error', (cause) =>
      reject(new BuildError('runtime', `the OCI runtime ${call.path} could not be started`, { cause })),
    );
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
}
