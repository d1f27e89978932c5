import { readSync } from 'node:fs';
import { closeDescriptor, OPEN, S_IF, statDescriptor } from '../../store/kernel/index.ts';
import { fromText, RootedDirectory } from '../add/rooted.ts';

const CHUNK_BYTES = 1 << 16;
const SHOWN_BYTES = 32;

/** Where two files stop being the same, with what stands there. */
export interface FirstByte {
  readonly offset: number;
  readonly first: string;
  readonly second: string;
}

/**
 * Finds the first byte in which a file differs between two layers' directories; undefined where one of them is no
 * regular file there.
 * @param path absolute in the image, never followed out of the directories
 */
export function findFirstByte(firstRoot: string, secondRoot: string, path: string): FirstByte | undefined {
  using first = openFile(firstRoot, path);
  using second = openFile(secondRoot, path);
  if (!first || !second) return undefined;
  for (let offset = 0; ; offset += CHUNK_BYTES) {
    const [a, b] = [first.read(offset, CHUNK_BYTES), second.read(offset, CHUNK_BYTES)];
    const at = differsAt(a, b);
    if (at >= 0) {
      const found = offset + at;
      return {
        offset: found,
        first: show(first.read(found, SHOWN_BYTES)),
        second: show(second.read(found, SHOWN_BYTES)),
      };
    }
    if (a.length < CHUNK_BYTES) return undefined;
  }
}

function differsAt(a: Buffer, b: Buffer): number {
  if (a.equals(b)) return -1;
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at += 1) if (a[at] !== b[at]) return at;
  return length;
}

function show(bytes: Buffer): string {
  return JSON.stringify(bytes.toString('latin1').replace(/[^ -~]/g, '.'));
}

function openFile(root: string, path: string) {
  using directory = new RootedDirectory(root);
  const flags = OPEN.readOnly | OPEN.noFollow | OPEN.nonBlock;
  const fd = directory.open(fromText(path.slice(1)), flags);
  if (fd === undefined) return undefined;
  if ((statDescriptor(fd).mode & S_IF.mask) !== S_IF.regular) {
    closeDescriptor(fd);
    return undefined;
  }
  return {
    read: (offset: number, length: number) => {
      const buffer = Buffer.alloc(length);
      return buffer.subarray(0, readSync(fd, buffer, 0, length, offset));
    },
    [Symbol.dispose]: () => closeDescriptor(fd),
  };
}
