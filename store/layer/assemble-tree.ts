import { closeSync, fstatSync, readSync } from 'node:fs';
import { isSystemError } from '../../errors.ts';
import { StoreError } from '../error.ts';
import { OPEN, openAt } from '../kernel/at.ts';
import { crc64 } from './crc64.ts';
import { cleanPath, RootedTree, shownPath } from './rooted.ts';
import { parseTarSplitLine, type TarSplitLine } from './tar-split-format.ts';

const READING = OPEN.readOnly | OPEN.noFollow | OPEN.nonBlock;
/** A line holds a segment of at most a few megabytes of the archive. */
const LINE_LIMIT_BYTES = 64 << 20;
const NOTHING = Buffer.alloc(0);
const NEWLINE = 10;

/** A file of the tree whose content is being written. */
interface OpenFile {
  readonly fd: number;
  readonly line: Extract<TarSplitLine, { kind: 'file' }>;
  leftBytes: number;
  crc64: bigint;
}

/** Writes the archive that tar-split lines describe, with file contents from a tree, whose checksums are checked. */
export class TreeAssembler implements Disposable {
  readonly #tree: RootedTree;
  readonly #lines = new Lines();
  /** The rest of a piece of the archive itself. */
  #segment: Buffer = NOTHING;
  #file: OpenFile | undefined;

  constructor(root: string) {
    this.#tree = new RootedTree(root);
  }

  /** Takes the next piece of text over, once {@link fill} has used all that was there. */
  add(text: Buffer): void {
    this.#lines.add(text);
  }

  /** There is no more text. */
  end(): void {
    this.#lines.end();
  }

  /**
   * Writes what follows of the archive.
   * @returns how many bytes: fewer than there is room for where more text is needed first
   * @throws StoreError `bad-layer`, `unsafe-path`
   */
  fill(room: Buffer): number {
    let at = 0;
    while (at < room.length) {
      if (this.#segment.length > 0) at += this.#copySegment(room, at);
      else if (this.#file) at += this.#copyFile(this.#file, room, at);
      else if (!this.#nextLine()) break;
    }
    return at;
  }

  #nextLine(): boolean {
    const text = this.#lines.next();
    if (text === undefined) return false;
    const line = parse(text);
    if (line.kind === 'segment') this.#segment = line.bytes;
    else if (line.sizeBytes > 0)
      this.#file = { fd: open(this.#tree, line.name), line, leftBytes: line.sizeBytes, crc64: 0n };
    return true;
  }

  #copySegment(room: Buffer, at: number): number {
    const count = this.#segment.copy(room, at);
    this.#segment = this.#segment.subarray(count);
    return count;
  }

  #copyFile(file: OpenFile, room: Buffer, at: number): number {
    const { fd, line } = file;
    const count = readSync(fd, room, at, Math.min(file.leftBytes, room.length - at), null);
    if (count === 0) throw differs(line.name);
    file.crc64 = crc64(room.subarray(at, at + count), file.crc64);
    file.leftBytes -= count;
    if (file.leftBytes > 0) return count;
    this.#closeFile();
    if (file.crc64 !== line.crc64) throw differs(line.name);
    return count;
  }

  #closeFile(): void {
    if (this.#file) closeSync(this.#file.fd);
    this.#file = undefined;
  }

  [Symbol.dispose](): void {
    this.#closeFile();
    this.#tree[Symbol.dispose]();
  }
}

function open(tree: RootedTree, name: string): number {
  const path = cleanPath(name);
  try {
    const place = tree.place(path);
    const fd = openAt(place.directory, place.name, READING);
    if (fstatSync(fd).isFile()) return fd;
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

/** Cuts text that comes in pieces into lines; a character is a byte of it. */
class Lines {
  #text: Buffer = NOTHING;
  #at = 0;
  /** The start of the line that the next piece of text goes on with. */
  #start = '';
  #isComplete = false;

  add(text: Buffer): void {
    this.#text = text;
    this.#at = 0;
  }

  end(): void {
    this.#isComplete = true;
  }

  next(): string | undefined {
    const end = this.#text.indexOf(NEWLINE, this.#at);
    if (end < 0) return this.#unfinished();
    const line = this.#start + this.#text.toString('latin1', this.#at, end);
    this.#at = end + 1;
    this.#start = '';
    return line;
  }

  #unfinished(): string | undefined {
    this.#start += this.#text.toString('latin1', this.#at);
    this.#text = NOTHING;
    this.#at = 0;
    if (this.#start.length > LINE_LIMIT_BYTES)
      throw new StoreError('bad-layer', 'the tar-split data of the layer is damaged');
    if (!this.#isComplete || this.#start === '') return undefined;
    const line = this.#start;
    this.#start = '';
    return line;
  }
}
