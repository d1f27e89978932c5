import { createHash, type Hash, randomBytes } from 'node:crypto';
import { addAttributes } from './content-digest.ts';
import type { FileOrigin } from './tree-reader.ts';
import type { ContentReader, TreeEntry } from './tree-writer.ts';

/** The digest of one file's attributes and bytes, taken while the bytes are read on. */
export class FileDigest {
  readonly #hash = createHash('sha256');
  #holes: Hash | undefined;
  #at = 0;

  constructor(xattrs: TreeEntry['xattrs']) {
    addAttributes(this.#hash, xattrs);
  }

  reading(content: ContentReader): ContentReader {
    const read = (buffer: Buffer) => {
      const count = content(buffer);
      if (count > 0) this.#hash.update(buffer.subarray(0, count));
      this.#at += count;
      return count;
    };
    return content.hole ? Object.assign(read, { hole: () => this.#pass(content.hole?.() ?? 0) }) : read;
  }

  /** Zeros that nobody reads are not hashed either: where they are stands for them. */
  #pass(count: number): number {
    if (count === 0) return 0;
    this.#holes ??= createHash('sha256');
    this.#holes.update(`${this.#at} ${count}\n`);
    this.#at += count;
    return count;
  }

  /** Call once. Longer for a file with holes, so that it is no other file's. */
  finish(): Uint8Array {
    const bytes = this.#hash.digest();
    return this.#holes ? Buffer.concat([bytes, this.#holes.digest()]) : bytes;
  }
}

let scratch: Buffer | undefined;

/** Reads everything and keeps nothing. */
export function drain(reader: ContentReader): void {
  scratch ??= Buffer.allocUnsafe(1 << 18);
  do reader.hole?.();
  while (reader(scratch) > 0);
}

/** Of a file that changed while it was copied, whose old digest is not that of the copy: no step is found by it. */
export function changedDigest(known: Uint8Array): Uint8Array {
  return createHash('sha256').update(known).update(randomBytes(16)).digest();
}

/** True where the file is what it was when it was opened. */
export function isSame({ status, again }: FileOrigin): boolean {
  const now = again();
  return (
    now.sizeBytes === status.sizeBytes &&
    now.modifiedNs === status.modifiedNs &&
    now.changedNs === status.changedNs
  );
}
