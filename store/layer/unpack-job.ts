import { type ByteSource, TarReader } from './tar-reader.ts';
import { TarSplitWriter, type TextSink } from './tar-split-format.ts';
import { Unpacker, type UnpackSettings } from './unpack.ts';

/** Unpacks the stream of the ring and keeps its tar-split. */
export function unpackJob(
  args: { readonly root: string; readonly settings: UnpackSettings },
  input: ByteSource,
  crc: (bytes: Buffer, previous: bigint) => bigint,
  sendText: TextSink,
): { contentBytes: number; uids: number[]; gids: number[] } {
  const split = new TarSplitWriter(sendText);
  const reader = new TarReader(input, (bytes) => split.raw(bytes));
  let sum = 0n;
  using unpacker = new Unpacker(args.root, args.settings, {
    content: (bytes) => {
      sum = crc(bytes, sum);
    },
    embedded: (bytes) => split.raw(bytes),
    stored: (entry) => {
      split.entry(entry.name, entry.sizeBytes, sum);
      sum = 0n;
    },
    replaced: () => {},
  });
  const counts = unpacker.unpack(reader);
  reader.drain();
  split.end();
  return { contentBytes: counts.contentBytes, uids: [...counts.uids], gids: [...counts.gids] };
}
