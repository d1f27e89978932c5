import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { keepFile, openMemory, readKept } from './kept-files.ts';
import { type BytePath, fromText, toText } from './rooted.ts';

/** What one COPY left in the layer that was made of it. */
export interface CopiedFiles {
  readonly layerId: string;
  /** The directory, below the root, that paths are relative to. */
  readonly base: BytePath;
  /** Digests of files' attributes and bytes, in hex. */
  readonly digests: ReadonlyMap<BytePath, string>;
}

const MAGIC = 'slipway copied 1\n';
/** With fewer files there is nothing to gain. */
const FEWEST_FILES = 256;
const LIMIT_BYTES = 64 << 20;

/**
 * Remembers what a COPY of the same sources to the same place left, so that the next one can take over what did not
 * change.
 */
export class CopyMemory {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /**
   * Undefined where nothing may be kept.
   * @param directory where the files are; made when missing
   * @param identity of the store, the sources and the destination
   */
  static open(directory: string, identity: readonly string[]): CopyMemory | undefined {
    if (!openMemory(directory)) return undefined;
    const name = createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 32);
    return new CopyMemory(join(directory, name));
  }

  load(): CopiedFiles | undefined {
    const body = readKept(this.#path, MAGIC, LIMIT_BYTES);
    if (!body) return undefined;
    const [layerId = '', base = '', ...fields] = body.toString('latin1').split('\0');
    const digests = new Map<BytePath, string>();
    for (let at = 0; at + 1 < fields.length; at += 2)
      digests.set(fields[at + 1] as string, fields[at] as string);
    return { layerId: toText(layerId), base, digests };
  }

  save({ layerId, base, digests }: CopiedFiles): void {
    if (digests.size < FEWEST_FILES) return;
    const fields = [fromText(layerId), base];
    for (const [path, digest] of digests) fields.push(digest, path);
    const body = Buffer.from(fields.join('\0'), 'latin1');
    if (body.length <= LIMIT_BYTES) keepFile(this.#path, MAGIC, body);
  }
}
