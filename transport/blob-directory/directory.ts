import { createReadStream, existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isSystemError } from '../../errors.ts';
import { type Digest, tryParseDigest } from '../../image/digest.ts';
import { decompressed, peekCompression } from '../../store/blob/compression.ts';
import type { BlobStream } from '../../store/blob/contract.ts';
import type { BlobClaim } from '../../store/blob/verify.ts';
import { replaceFile, stageBlob } from '../blob-file.ts';

/** A blob as a file of the directory. */
export interface KeptBlob {
  readonly path: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly isConfig: boolean;
}

/** A compressed form of a plain blob. */
export interface KeptForm {
  readonly blob: KeptBlob;
  readonly compression: 'gzip' | 'zstd';
}

const COMPRESSED_NOTE = '.compressed';
const DECOMPRESSED_NOTE = '.decompressed';

/**
 * A directory of blobs as containers/image's blob cache keeps it: a file for each blob, named by its digest (configs
 * with `.config` behind it), compressed layers also plain, and notes that name the other forms of a blob.
 */
export class BlobDirectory {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** Undefined, with a warning, where the directory does not exist: then nothing is kept. */
  static at(path: string, onWarning?: (text: string) => void): BlobDirectory | undefined {
    if (existsSync(path)) return new BlobDirectory(path);
    onWarning?.(`blob cache directory "${path}" does not exist: no blobs are kept`);
    return undefined;
  }

  async find(digest: Digest, size = -1): Promise<KeptBlob | undefined> {
    for (const isConfig of [false, true]) {
      const path = this.#pathOf(digest, isConfig);
      const sizeBytes = await sizeOf(path);
      if (sizeBytes !== undefined && (size < 0 || size === sizeBytes))
        return { path, digest, sizeBytes, isConfig };
    }
    return undefined;
  }

  /** What a plain blob was compressed to, as far as the files are there; the latest first. */
  async compressedForms(plain: Digest): Promise<readonly KeptForm[]> {
    const forms: KeptForm[] = [];
    for (const line of await this.#note(plain, COMPRESSED_NOTE)) {
      const [text = '', algorithm = 'gzip'] = line.split(' ');
      const digest = tryParseDigest(text);
      const blob = digest && (await this.find(digest));
      const compression = algorithm.replace(/:chunked$/, '');
      if (blob && (compression === 'gzip' || compression === 'zstd')) forms.push({ blob, compression });
    }
    return forms;
  }

  /** Takes a blob, checked against what is expected of it; a compressed layer is kept in its plain form as well. */
  async put(
    blob: BlobStream,
    expected: BlobClaim,
    options: { readonly isConfig: boolean; readonly signal?: AbortSignal },
  ): Promise<KeptBlob> {
    const { isConfig, signal } = options;
    const staged = await stageBlob(this.#path, 'blob', blob, expected, { signal, sync: false });
    const path = this.#pathOf(staged.digest, isConfig);
    await staged.place(path);
    const kept = { path, digest: staged.digest, sizeBytes: staged.size, isConfig };
    if (!isConfig) await this.#keepPlainForm(kept, signal);
    return kept;
  }

  async putManifest(digest: Digest, bytes: Uint8Array): Promise<void> {
    await replaceFile(this.#pathOf(digest, false), bytes, 0o600);
  }

  async putConfig(digest: Digest, bytes: Uint8Array): Promise<void> {
    await replaceFile(this.#pathOf(digest, true), bytes, 0o600);
  }

  async #keepPlainForm(kept: KeptBlob, signal: AbortSignal | undefined): Promise<void> {
    const { stream: read, compression } = await peekCompression(openBlob(kept).stream);
    if (compression !== 'gzip' && compression !== 'zstd') {
      read.destroy();
      return;
    }
    const stream = decompressed(read, compression);
    const plain = await stageBlob(this.#path, 'blob', { stream }, {}, { signal, sync: false });
    await plain.place(this.#pathOf(plain.digest, false));
    const others = (await this.#note(plain.digest, COMPRESSED_NOTE)).filter(
      (line) => !line.startsWith(kept.digest),
    );
    const lines = [`${kept.digest} ${compression}`, ...others].join('\n');
    await replaceFile(this.#pathOf(plain.digest, false) + COMPRESSED_NOTE, Buffer.from(lines), 0o600);
    await replaceFile(kept.path + DECOMPRESSED_NOTE, Buffer.from(plain.digest), 0o600);
  }

  async #note(digest: Digest, suffix: string): Promise<string[]> {
    try {
      const text = await readFile(this.#pathOf(digest, false) + suffix, 'utf8');
      return text
        .split('\n')
        .map((line) => line.trim())
        .filter(Boolean);
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return [];
      throw error;
    }
  }

  #pathOf(digest: Digest, isConfig: boolean): string {
    return join(this.#path, isConfig ? `${digest}.config` : digest);
  }
}

/** The bytes of a kept blob, as they were kept. */
export function openBlob({ path, sizeBytes }: KeptBlob): BlobStream {
  return { stream: createReadStream(path, { highWaterMark: 1 << 20 }), sizeBytes };
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const found = await stat(path);
    return found.isFile() ? found.size : undefined;
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}
