import { readFileSync } from 'node:fs';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { ifThere } from '../../errors.ts';
import { PR, processControl } from '../../store/kernel/index.ts';
import { libcFunction } from '../../store/kernel/libc.ts';

const nativeWait = libcFunction('waitpid', 'int', ['int', 'void*', 'int']);
const WITHOUT_WAITING = 1;
/** How long the end of an adopted process may go unnoticed where no signal tells of it, as in worker threads. */
const PATIENCE_MS = 100;

/** What has just lost its parent is mostly about to end, and is given a moment. */
const ROUNDS = 5;
const ROUND_MS = 20;

/** How a process ended: 128 + n where signal n ended it. */
type ExitCode = number;

let holders = 0;
/** Children from before. */
let strangers: ReadonlySet<number> = new Set();
/** Children by adoption that someone waits for, which are not to be reaped like the rest. */
const awaited = new Set<number>();

/**
 * Makes this process the parent of what its descendants leave behind, as Buildah is: the containers of runtimes that
 * do not wait for them, and strays, which are reaped when the last holder lets go instead of being left to our caller.
 */
export function adoptOrphans(): AsyncDisposable {
  if (holders === 0) strangers = new Set(children());
  holders += 1;
  processControl(PR.setChildSubreaper, 1);
  return {
    async [Symbol.asyncDispose]() {
      holders -= 1;
      await reapStrays();
      for (let rounds = 0; rounds < ROUNDS && holders === 0 && hasLiveStrays(); rounds += 1) {
        await sleep(ROUND_MS);
        await reapStrays();
      }
      if (holders === 0) processControl(PR.setChildSubreaper, 0);
    },
  };
}

/** A process that has been adopted, and that is kept from being reaped as a stray until this is disposed of. */
export interface AdoptedProcess extends Disposable {
  /** Waits for its end; undefined where it is no child of this process (any more). */
  end(): Promise<ExitCode | undefined>;
}

export function adoptedProcess(pid: number): AdoptedProcess {
  awaited.add(pid);
  return {
    end: () => endOf(pid),
    [Symbol.dispose]: () => void awaited.delete(pid),
  };
}

async function endOf(pid: number): Promise<ExitCode | undefined> {
  for (;;) {
    const { promise: told, resolve: tell } = Promise.withResolvers<void>();
    process.on('SIGCHLD', tell);
    const late = setTimeout(tell, PATIENCE_MS);
    try {
      const state = reap(pid);
      if (state !== 'running') return state;
      await told;
    } finally {
      clearTimeout(late);
      process.off('SIGCHLD', tell);
    }
  }
}

function reap(pid: number): ExitCode | undefined | 'running' {
  const status = Buffer.alloc(4);
  const found = nativeWait(pid, status, WITHOUT_WAITING);
  if (found === 0) return 'running';
  if (found < 0) return undefined;
  const [low = 0, high = 0] = status;
  const signal = low & 0x7f;
  return signal === 0 ? high : 128 + signal;
}

/** Node reaps its own children whenever its event loop turns; who is dead before and after a turn is nobody's. */
async function reapStrays(): Promise<void> {
  const dead = deadChildren();
  if (dead.length === 0) return;
  await nextTurn();
  await nextTurn();
  const still = new Set(deadChildren());
  for (const pid of dead) if (still.has(pid) && !awaited.has(pid)) reap(pid);
}

const deadChildren = () => children().filter(isDead);
const hasLiveStrays = () => children().some((pid) => !strangers.has(pid) && !awaited.has(pid));

/** Those of the main thread, to which the kernel gives orphans; other threads see to theirs. */
function children(): number[] {
  const listed = readProcess(`self/task/${process.pid}/children`);
  return listed.split(' ').filter(Boolean).map(Number);
}

function isDead(pid: number): boolean {
  const stat = readProcess(`${pid}/stat`);
  return stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z');
}

/** Nothing where the process has gone, or the kernel does not list children. */
function readProcess(path: string): string {
  return ifThere(() => readFileSync(`/proc/${path}`, 'utf8')) ?? '';
}
