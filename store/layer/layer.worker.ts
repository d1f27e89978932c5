import { createHash, type Hash } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { SlipwayError } from '../../errors.ts';
import { AT_FDCWD } from '../kernel/at.ts';
import { failRing, RING_PAGES, RingClosed, RingReader, RingWriter, ringsOf } from './byte-ring.ts';
import { chunkedJob } from './chunked-job.ts';
import { crc64Over } from './crc64.ts';
import type { JobError, JobMap, JobName, JobRequest } from './jobs.ts';
import { removeAt } from './remove.ts';
import { unpackJob } from './unpack-job.ts';
import type { SharedMemory } from './wasm.ts';

const { memory } = workerData as { memory: SharedMemory };
const rings = ringsOf(memory);
const runCrc = crc64Over(memory, RING_PAGES);
const port = parentPort!;

/** The checksum of a view of the shared memory. */
const crc = (bytes: Buffer, previous: bigint) => runCrc(bytes.byteOffset, bytes.length, previous);
const sendText = (text: Buffer<ArrayBuffer>) => port.postMessage({ text }, [text.buffer]);

function hashed(): { hash: Hash; update: (bytes: Buffer) => void; length: () => number } {
  const hash = createHash('sha256');
  let length = 0;
  return {
    hash,
    update: (bytes) => {
      hash.update(bytes);
      length += bytes.length;
    },
    length: () => length,
  };
}

const jobs: { [Name in JobName]: (args: JobMap[Name]['args']) => JobMap[Name]['result'] } = {
  apply: (args) => {
    const total = hashed();
    const result = unpackJob(args, new RingReader(rings.input, total.update), crc, sendText);
    return { ...result, diffId: total.hash.digest('hex'), sizeBytes: total.length() };
  },
  chunk: (args) => chunkedJob(args, new RingReader(rings.input), new RingWriter(rings.output), crc),
  remove: (args) => void removeAt(AT_FDCWD, args.path),
};

port.on('message', ({ name, args }: JobRequest) => {
  try {
    const run = jobs[name] as (args: unknown) => unknown;
    port.postMessage({ result: run(args) });
  } catch (error) {
    failRing(rings.input);
    failRing(rings.output);
    port.postMessage({ error: plainError(error) });
  }
});

function plainError(error: unknown): JobError {
  if (error instanceof RingClosed) return { kind: 'closed', message: error.message };
  if (error instanceof SlipwayError) {
    const { code, message, hint, facts } = error;
    return { kind: 'slipway', code, message, hint, facts: { ...facts } };
  }
  const { message, code, errno, syscall, path, stack } = error as NodeJS.ErrnoException;
  return { kind: 'other', message, code, errno, syscall, path, stack };
}
