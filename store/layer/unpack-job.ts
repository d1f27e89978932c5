import { closeSync, readFileSync } from 'node:fs';
import { StoreError } from '../error.ts';
import { OPEN, openAt } from '../kernel/at.ts';
import { readDirectory, S_IF, statAt } from '../kernel/stat.ts';
import type { Place } from './rooted.ts';
import { type ByteSource, TarReader } from './tar-reader.ts';
import { type EmbeddedContent, TarSplitWriter, type TextSink } from './tar-split-format.ts';
import { Unpacker, type UnpackSettings } from './unpack.ts';

/** Contents that an archive replaces by later entries of the same name are kept in its tar-split, up to this. */
const REPLACED_LIMIT_BYTES = 16 << 20;

/** Unpacks a stream and keeps its tar-split. */
export function unpackJob(
  args: { readonly root: string; readonly settings: UnpackSettings },
  input: ByteSource,
  crc: (bytes: Buffer, previous: bigint) => bigint,
  sendText: TextSink,
): { contentBytes: number; uids: number[]; gids: number[]; replaced: EmbeddedContent[] } {
  const split = new TarSplitWriter(sendText);
  const reader = new TarReader(input, (bytes) => split.raw(bytes));
  const replaced = new ReplacedContents();
  let sum = 0n;
  using unpacker = new Unpacker(args.root, args.settings, {
    content: (bytes) => {
      sum = crc(bytes, sum);
    },
    embedded: (bytes) => split.raw(bytes),
    stored: (entry, real) => {
      const position = split.entry(entry.name, entry.sizeBytes, sum);
      if (entry.sizeBytes > 0) replaced.stored(real, position);
      sum = 0n;
    },
    replaced: (real, place) => replaced.keep(real, place),
  });
  const { contentBytes, uids, gids } = unpacker.unpack(reader);
  reader.drain();
  split.end();
  return { contentBytes, uids: [...uids], gids: [...gids], replaced: replaced.contents };
}

/** What an archive wrote and then replaced, which only its tar-split can still give back. */
class ReplacedContents {
  readonly contents: EmbeddedContent[] = [];
  /** Position of the tar-split line of every file with content, by real path. */
  readonly #positions = new Map<string, number>();
  #bytes = 0;

  stored(real: string, position: number): void {
    this.#positions.set(real, position);
  }

  keep(real: string, place: Place): void {
    if ((statAt(place.directory, place.name).mode & S_IF.mask) === S_IF.directory) this.#keepAll(real, place);
    else this.#keepFile(real, place);
  }

  #keepAll(real: string, place: Place): void {
    const directory = openAt(place.directory, place.name, OPEN.readOnly | OPEN.directory | OPEN.noFollow);
    try {
      for (const { name } of readDirectory(directory))
        this.keep(`${real}/${name.toString('latin1')}`, { directory, name });
    } finally {
      closeSync(directory);
    }
  }

  #keepFile(real: string, place: Place): void {
    const position = this.#positions.get(real);
    if (position === undefined) return;
    this.#positions.delete(real);
    const fd = openAt(place.directory, place.name, OPEN.readOnly | OPEN.noFollow | OPEN.nonBlock);
    try {
      const bytes = readFileSync(fd);
      this.#bytes += bytes.length;
      if (this.#bytes > REPLACED_LIMIT_BYTES)
        throw new StoreError('bad-layer', 'the archive replaces too many of its own files');
      this.contents.push({ position, bytes });
    } finally {
      closeSync(fd);
    }
  }
}
