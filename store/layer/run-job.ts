import type { Readable, Writable } from 'node:stream';
import { Worker } from 'node:worker_threads';
import { StoreError, type StoreErrorCode } from '../error.ts';
import { dispose, passed } from '../kernel/passing-bytes.ts';
import { workerUrl } from '../kernel/worker-url.ts';
import {
  endRing,
  failRing,
  RING_PAGES,
  RingClosed,
  readFromRing,
  resetRing,
  ringsOf,
  writeToRing,
} from './byte-ring.ts';
import type { JobError, JobMap, JobMessage, JobName } from './jobs.ts';
import { sharedMemory } from './wasm.ts';

const KEPT_IDLE = 4;

/** A worker thread and the memory that it shares with this one. It runs one job at a time. */
interface LayerWorker {
  readonly worker: Worker;
  readonly rings: ReturnType<typeof ringsOf>;
}

const idle: LayerWorker[] = [];

function start(): LayerWorker {
  const memory = sharedMemory(RING_PAGES);
  const worker = new Worker(workerUrl('store/layer/layer.worker.ts'), {
    workerData: { memory },
    // Descriptors are opened by system calls and closed through node:fs.
    trackUnmanagedFds: false,
    resourceLimits: { maxYoungGenerationSizeMb: 8 },
  });
  const layerWorker = { worker, rings: ringsOf(memory) };
  worker.on('error', () => drop(layerWorker));
  worker.on('exit', () => drop(layerWorker));
  return layerWorker;
}

function drop(worker: LayerWorker): void {
  const index = idle.indexOf(worker);
  if (index >= 0) idle.splice(index, 1);
}

function release(worker: LayerWorker): void {
  if (idle.length >= KEPT_IDLE) return void worker.worker.terminate();
  resetRing(worker.rings.input);
  resetRing(worker.rings.output);
  worker.worker.unref();
  idle.push(worker);
}

/** The streams of a job on this side. */
export interface JobStreams {
  /** Bytes for the job; destroyed when the job fails. */
  readonly input?: Readable;
  /** Bytes that come before those of `input`. */
  readonly ahead?: readonly Uint8Array[];
  /** Takes the bytes that the job makes, with backpressure, and does not end the stream. */
  readonly output?: (bytes: Buffer) => Promise<void> | void;
  /** Takes pieces of tar-split text. */
  readonly onText?: (text: Uint8Array<ArrayBuffer>) => void;
  readonly signal?: AbortSignal;
}

/**
 * Runs a job in a worker thread. There are as many workers as jobs at a time: callers bound their parallelism.
 * @throws what the job throws, what the streams throw, and the signal's reason
 */
export async function runJob<Name extends JobName>(
  name: Name,
  args: JobMap[Name]['args'],
  streams: JobStreams = {},
): Promise<JobMap[Name]['result']> {
  const { signal, input } = streams;
  signal?.throwIfAborted();
  const worker = idle.pop() ?? start();
  worker.worker.ref();
  let aborted = false;
  let failure: { readonly error: unknown } | undefined;
  const stop = (error: unknown) => {
    failure ??= { error };
    failRing(worker.rings.input);
    failRing(worker.rings.output);
  };
  const onAbort = () => {
    aborted = true;
    stop(signal?.reason);
    input?.destroy();
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    const done = finished(worker, streams.onText);
    worker.worker.postMessage({ name, args });
    const pumps = [
      input ? pumpIn(worker, input, streams.ahead).catch(stop) : undefined,
      streams.output ? pumpOut(worker, streams.output).catch(stop) : undefined,
    ];
    const outcome = await done;
    const first = failure;
    if ('error' in outcome && input && !input.destroyed) input.destroy();
    await Promise.all(pumps);
    if (first && (aborted || !(first.error instanceof RingClosed))) throw first.error;
    if ('error' in outcome) throw revive(outcome.error);
    // The job is done, and what it made could not be handed on.
    if (failure) throw failure.error;
    return outcome.result as JobMap[Name]['result'];
  } finally {
    signal?.removeEventListener('abort', onAbort);
    release(worker);
  }
}

type Outcome = { readonly result: unknown } | { readonly error: JobError };

function finished(
  { worker }: LayerWorker,
  onText: (text: Uint8Array<ArrayBuffer>) => void = () => {},
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const onMessage = (message: JobMessage) => {
      if ('text' in message) return onText(message.text);
      leave();
      resolve(message);
    };
    const onError = (error: unknown) => {
      leave();
      reject(error);
    };
    const onExit = (code: number) => onError(new Error(`a layer worker ended with code ${code}`));
    const leave = () => {
      worker.off('message', onMessage);
      worker.off('error', onError);
      worker.off('exit', onExit);
    };
    worker.on('message', onMessage);
    worker.on('error', onError);
    worker.on('exit', onExit);
  });
}

async function pumpIn(
  { rings }: LayerWorker,
  input: Readable,
  ahead: readonly Uint8Array[] = [],
): Promise<void> {
  for (const chunk of ahead) await writeToRing(rings.input, chunk);
  for await (const chunk of input) {
    passed(chunk.length);
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : (chunk as Uint8Array);
    await writeToRing(rings.input, bytes);
    dispose(bytes);
  }
  endRing(rings.input);
}

async function pumpOut({ rings }: LayerWorker, output: NonNullable<JobStreams['output']>): Promise<void> {
  for (let bytes = await readFromRing(rings.output); bytes; bytes = await readFromRing(rings.output)) {
    passed(bytes.length);
    await output(bytes);
  }
}

/** Writes to a stream with backpressure; a closed or failed one rejects. */
export function writeTo(output: Writable): (bytes: Buffer) => Promise<void> {
  return (bytes) =>
    new Promise((resolve, reject) => {
      output.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
}

function revive(error: JobError): Error {
  if (error.kind === 'closed') return new RingClosed(error.message);
  if (error.kind === 'slipway')
    return new StoreError(error.code as StoreErrorCode, error.message, {
      hint: error.hint,
      facts: error.facts,
    });
  const { message, code, errno, syscall, path, stack } = error;
  const revived: NodeJS.ErrnoException = new Error(message);
  if (code === undefined) revived.stack = stack;
  else Object.assign(revived, { code, errno, syscall, path });
  return revived;
}
