import { closeSync, readSync } from 'node:fs';
import { isSystemError } from '../../errors.ts';
import { StoreError } from '../error.ts';
import { OPEN, openAt } from '../kernel/at.ts';
import { S_IF, statDescriptor } from '../kernel/stat.ts';
import type { RingReader, RingWriter } from './byte-ring.ts';
import { cleanPath, RootedTree, shownPath } from './rooted.ts';
import { parseTarSplitLine, type TarSplitLine } from './tar-split-format.ts';

const READING = OPEN.readOnly | OPEN.noFollow | OPEN.nonBlock;
/** A line holds a segment of at most a few megabytes of the archive. */
const LINE_LIMIT_BYTES = 64 << 20;

/** Writes the archive that tar-split lines describe, with file contents from a tree, whose checksums are checked. */
export function assembleTree(
  root: string,
  input: RingReader,
  output: RingWriter,
  crc: (bytes: Buffer, previous: bigint) => bigint,
): void {
  using tree = new RootedTree(root);
  for (const text of lines(input)) {
    const line = parse(text);
    if (line.kind === 'segment') output.write(line.bytes);
    else if (line.sizeBytes > 0) copyFile(tree, line, output, crc);
  }
  output.end();
}

function copyFile(
  tree: RootedTree,
  line: Extract<TarSplitLine, { kind: 'file' }>,
  output: RingWriter,
  crc: (bytes: Buffer, previous: bigint) => bigint,
): void {
  const fd = open(tree, line.name);
  try {
    let sum = 0n;
    for (let left = line.sizeBytes; left > 0; ) {
      const room = output.room(left);
      const count = readSync(fd, room, 0, room.length, null);
      if (count === 0) throw differs(line.name);
      sum = crc(room.subarray(0, count), sum);
      output.commit(count);
      left -= count;
    }
    if (sum !== line.crc64) throw differs(line.name);
  } finally {
    closeSync(fd);
  }
}

function open(tree: RootedTree, name: string): number {
  const path = cleanPath(name);
  try {
    const place = tree.place(path);
    const fd = openAt(place.directory, place.name, READING);
    if ((statDescriptor(fd).mode & S_IF.mask) === S_IF.regular) return fd;
    closeSync(fd);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    const { code, syscall } = error;
    throw new StoreError('bad-layer', `cannot read "${shownPath(path)}" of the layer: ${error.message}`, {
      facts: { entry: shownPath(path), errno: code, syscall },
    });
  }
  throw differs(name);
}

function differs(name: string): StoreError {
  return new StoreError(
    'bad-layer',
    `"${shownPath(name)}" of the layer is not what it was when the layer was made`,
    {
      hint: 'Something changed the store; remove the image and get it again.',
      facts: { entry: shownPath(name) },
    },
  );
}

function parse(text: string): TarSplitLine {
  try {
    return parseTarSplitLine(text);
  } catch (cause) {
    throw new StoreError('bad-layer', 'the tar-split data of the layer is damaged', { cause });
  }
}

function* lines(input: RingReader): Generator<string> {
  let parts: Buffer[] = [];
  let length = 0;
  for (let view = input.next(1 << 17); view.length > 0; view = input.next(1 << 17)) {
    let start = 0;
    for (let end = view.indexOf(10); end >= 0; end = view.indexOf(10, start)) {
      parts.push(view.subarray(start, end));
      yield Buffer.concat(parts).toString('utf8');
      parts = [];
      length = 0;
      start = end + 1;
    }
    if (start === view.length) continue;
    parts.push(Buffer.from(view.subarray(start)));
    length += view.length - start;
    if (length > LINE_LIMIT_BYTES)
      throw new StoreError('bad-layer', 'the tar-split data of the layer is damaged');
  }
  if (length > 0) yield Buffer.concat(parts).toString('utf8');
}
