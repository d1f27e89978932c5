import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { workerUrl } from '../../store/kernel/worker-url.ts';
import type { ChrootEvent, ChrootJob } from './chroot.ts';
import { specJson } from './runtime-spec.ts';

export type LastEvent = Extract<ChrootEvent, { kind: 'ended' | 'failed' }>;

/** Where chroot.worker.ts runs. */
export interface ChrootHost {
  /**
   * Hands over the job and resolves when it is done.
   * @param filter BPF program for seccomp(2), in Base64; the host mounts while it is made
   * @throws Error where the host ends without a word, and why there is no filter
   */
  run(
    job: ChrootJob,
    filter: Promise<string | undefined>,
    onEvent: (event: ChrootEvent) => void,
  ): Promise<LastEvent>;
  /** Ends it with all that it holds, its mount namespace among that. */
  end(): Promise<void>;
}

export interface ChrootProcess extends ChrootHost {
  /** False once it has ended, by whatever hand. */
  readonly isAlive: boolean;
}

/**
 * A process of its own: it boots in half of a thread's time, since Node has a snapshot for processes alone. It does not
 * keep this process alive, and ends when this process does.
 */
export function startProcess(): ChrootProcess {
  const program = fileURLToPath(workerUrl('build/run/chroot.worker.ts'));
  // In a session of its own: what a terminal sends to this process's group is for this process to hand on.
  const words = ['--disable-warning=ExperimentalWarning', program, `${process.pid}`];
  const child = spawn(process.execPath, words, {
    stdio: ['inherit', 'inherit', 'inherit', 'pipe', 'pipe'],
    env: {},
    cwd: '/',
    detached: true,
  });
  const [, , , job, events] = child.stdio as unknown as [unknown, unknown, unknown, Socket, Socket];
  job.on('error', () => undefined);
  const held = [child, job, events];
  for (const one of held) one.unref();
  return {
    get isAlive() {
      return isAlive(child);
    },
    run: async (value, filter, onEvent) => {
      for (const one of held) one.ref();
      job.write(`${specJson(value)}\n`);
      const handOver = async () => void job.write(`${filterMessage(await filter)}\n`);
      const [last] = await Promise.all([lastLine(child, events, onEvent), handOver()]);
      return last;
    },
    end: () => endProcess(child),
  };
}

function lastLine(
  child: ChildProcess,
  events: Socket,
  onEvent: (event: ChrootEvent) => void,
): Promise<LastEvent> {
  return new Promise((resolve, reject) => {
    let rest = '';
    events.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const event = JSON.parse(line) as ChrootEvent;
        onEvent(event);
        if (isLast(event)) resolve(event);
      }
    });
    child.once('error', reject);
    child.once('close', () => reject(new Error('the isolation process ended without a result')));
  });
}

function isAlive({ pid, exitCode, signalCode }: ChildProcess): boolean {
  return pid !== undefined && exitCode === null && signalCode === null;
}

async function endProcess(child: ChildProcess): Promise<void> {
  if (!isAlive(child)) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

/** A thread of this process, which shares its descriptors with it: a terminal that it opens can be relayed here. */
export function startThread(): ChrootHost {
  // Descriptors come from the kernel bindings, which Node's book-keeping for threads does not see.
  const worker = new Worker(workerUrl('build/run/chroot.worker.ts'), { env: {}, trackUnmanagedFds: false });
  return {
    run: async (job, filter, onEvent) => {
      worker.postMessage(specJson(job));
      const handOver = async () => worker.postMessage(filterMessage(await filter));
      const [last] = await Promise.all([lastMessage(worker, onEvent), handOver()]);
      return last;
    },
    end: async () => void (await worker.terminate()),
  };
}

function lastMessage(worker: Worker, onEvent: (event: ChrootEvent) => void): Promise<LastEvent> {
  return new Promise((resolve, reject) => {
    worker.on('message', (event: ChrootEvent) => {
      onEvent(event);
      if (isLast(event)) resolve(event);
    });
    worker.once('error', reject);
    worker.once('exit', () => reject(new Error('the isolation thread ended without a result')));
  });
}

function filterMessage(filter: string | undefined): string {
  return JSON.stringify({ filter });
}

function isLast(event: ChrootEvent): event is LastEvent {
  return event.kind === 'ended' || event.kind === 'failed';
}
