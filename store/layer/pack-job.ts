import type { RingWriter } from './byte-ring.ts';
import type { JobMap } from './jobs.ts';
import { type PackSettings, TreePacker } from './pack-tree.ts';
import { TarSplitWriter, type TextSink } from './tar-split-format.ts';

type PackJobResult = Omit<JobMap['packHashed']['result'], 'diffId' | 'sizeBytes'>;

/** Where an archive goes: see {@link RingWriter}. */
export type ArchiveWriter = Pick<RingWriter, 'room' | 'commit' | 'write' | 'end'>;

/** Packs a tree into the ring and makes its tar-split. */
export function packJob(...args: Parameters<typeof packInSteps>): PackJobResult {
  const steps = packInSteps(...args);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/** The same in the steps of {@link TreePacker.pack}. */
export function* packInSteps(
  args: { readonly root: string; readonly settings: PackSettings },
  output: ArchiveWriter,
  crc: (bytes: Buffer, previous: bigint) => bigint,
  sendText: TextSink,
): Generator<void, PackJobResult> {
  const split = new TarSplitWriter(sendText);
  let sum = 0n;
  const packer = new TreePacker(args.settings, {
    raw: (bytes) => {
      output.write(bytes);
      split.raw(bytes);
    },
    room: (limit) => output.room(limit),
    filled: (room, length) => {
      sum = crc(room.subarray(0, length), sum);
      output.commit(length);
    },
    entryEnd: (name, sizeBytes) => {
      split.entry(name, sizeBytes, sum);
      sum = 0n;
    },
  });
  const counts = yield* packer.pack(args.root);
  output.end();
  split.end();
  return { ...counts, uids: [...counts.uids], gids: [...counts.gids] };
}
