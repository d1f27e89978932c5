import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { posix } from 'node:path';
import { Readable } from 'node:stream';
import type { BlobStream } from '../../store/blob/contract.ts';
import { TransportError } from '../error.ts';

/** One member of a tar archive; only what finding and reading files needs. */
export interface Member {
  readonly name: string;
  readonly kind: 'file' | 'symlink' | 'hardlink' | 'other';
  readonly link: string;
  /** Where its data starts, and how many bytes it has. */
  readonly offset: number;
  readonly size: number;
}

const BLOCK = 512;
const META_LIMIT_BYTES = 1024 * 1024;
const MEMBER_LIMIT = 1_000_000;

/**
 * Random access to the regular files of a plain tar file. Members are found by their cleaned name inside the archive
 * and never written anywhere, so `..` and links lead nowhere outside. Of equal names the first counts, as in
 * containers/image.
 */
export class ArchiveMembers implements AsyncDisposable {
  readonly path: string;
  readonly #file: FileHandle;
  readonly #byName = new Map<string, Member>();

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  /** @throws TransportError `bad-archive` for a damaged or truncated archive */
  static async open(path: string): Promise<ArchiveMembers> {
    const archive = new ArchiveMembers(path, await open(path));
    try {
      await archive.#scan();
    } catch (error) {
      await archive.#file.close();
      throw error;
    }
    return archive;
  }

  get names(): Iterable<string> {
    return this.#byName.keys();
  }

  /** The regular file of that name; links are followed once, inside the archive. */
  find(name: string): Member | undefined {
    const found = this.#byName.get(clean(name));
    if (found === undefined || found.kind === 'file') return found;
    if (found.kind === 'other') return undefined;
    const target = found.kind === 'symlink' ? posix.join(posix.dirname(clean(name)), found.link) : found.link;
    const linked = this.#byName.get(clean(target));
    return linked?.kind === 'file' ? linked : undefined;
  }

  read(member: Member, offset = 0): BlobStream {
    const sizeBytes = Math.max(0, member.size - offset);
    const start = member.offset + offset;
    if (sizeBytes === 0) return { stream: Readable.from([]), sizeBytes };
    const end = start + sizeBytes - 1;
    return { stream: createReadStream(this.path, { start, end, highWaterMark: 1 << 20 }), sizeBytes };
  }

  /** The first bytes of a file, at most `size` of them. */
  head(member: Member, size: number): Promise<Buffer> {
    return this.#bytes(member.offset, Math.min(size, member.size));
  }

  /**
   * A whole small file.
   * @throws TransportError `not-found`, `size-mismatch` over the limit
   */
  async readDocument(name: string, limitBytes: number): Promise<Uint8Array> {
    const member = this.find(name);
    if (!member)
      throw new TransportError(
        'not-found',
        `loading tar component ${JSON.stringify(name)} of ${this.path}: file does not exist`,
        { facts: { path: this.path, member: name } },
      );
    if (member.size > limitBytes)
      throw new TransportError(
        'size-mismatch',
        `${name} in ${this.path}: exceeded maximum allowed size of ${limitBytes} bytes`,
      );
    return this.#bytes(member.offset, member.size);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  async #scan(): Promise<void> {
    const { size: length } = await this.#file.stat();
    let meta: { path?: string; linkpath?: string; size?: number } = {};
    let at = 0;
    for (let count = 0; at + BLOCK <= length; count += 1) {
      if (count > MEMBER_LIMIT) throw this.#bad(at, `more than ${MEMBER_LIMIT} members`);
      const block = await this.#bytes(at, BLOCK);
      if (block.every((byte) => byte === 0)) return;
      const header = this.#header(block, at);
      const size = meta.size ?? header.size;
      const data = at + BLOCK;
      if (data + size > length) throw this.#bad(at, 'it is truncated');
      at = data + Math.ceil(size / BLOCK) * BLOCK;
      if (header.type === 'x' || header.type === 'L' || header.type === 'K') {
        if (header.size > META_LIMIT_BYTES) throw this.#bad(at, 'an extended header is too large');
        meta = { ...meta, ...readMeta(header.type, await this.#bytes(data, header.size)) };
        continue;
      }
      if (header.type === 'g') continue;
      this.#add({
        name: meta.path ?? header.name,
        kind: KINDS[header.type] ?? 'other',
        link: meta.linkpath ?? header.link,
        offset: data,
        size,
      });
      meta = {};
    }
  }

  #add(member: Member): void {
    const name = clean(member.name);
    if (!this.#byName.has(name)) this.#byName.set(name, member);
  }

  #header(block: Buffer, at: number): { name: string; link: string; type: string; size: number } {
    let sum = 0;
    for (const [index, byte] of block.entries()) sum += index >= 148 && index < 156 ? 32 : byte;
    if (number(block, 148, 8) !== sum) throw this.#bad(at, 'a header checksum is wrong');
    const size = number(block, 124, 12);
    if (!Number.isSafeInteger(size) || size < 0) throw this.#bad(at, 'a member has an impossible size');
    const type = String.fromCharCode(block[156] || 0x30);
    const ustar = block.toString('latin1', 257, 263) === 'ustar\0';
    const prefix = ustar ? text(block, 345, 155) : '';
    const name = text(block, 0, 100);
    return {
      name: prefix ? `${prefix}/${name}` : name,
      link: text(block, 157, 100),
      type,
      size: '1256'.includes(type) || (type >= '3' && type <= '4') ? 0 : size,
    };
  }

  async #bytes(offset: number, size: number): Promise<Buffer> {
    const buffer = Buffer.alloc(size);
    for (let done = 0; done < size; ) {
      const { bytesRead } = await this.#file.read(buffer, done, size - done, offset + done);
      if (bytesRead === 0) throw this.#bad(offset, 'it is truncated');
      done += bytesRead;
    }
    return buffer;
  }

  #bad(at: number, why: string): TransportError {
    return new TransportError(
      'bad-archive',
      `${this.path} is not a valid tar archive: ${why} (at byte ${at})`,
      {
        facts: { path: this.path, at },
      },
    );
  }
}

const KINDS: Record<string, Member['kind']> = { '0': 'file', '7': 'file', '1': 'hardlink', '2': 'symlink' };

function clean(name: string): string {
  return posix.normalize(`/${name}`).replace(/\/$/, '').slice(1);
}

function text(block: Buffer, offset: number, length: number): string {
  const end = block.indexOf(0, offset);
  return block.toString('utf8', offset, end < 0 || end > offset + length ? offset + length : end);
}

/** Octal, or GNU's base 256 with the high bit set. */
function number(block: Buffer, offset: number, length: number): number {
  if ((block[offset] as number) & 0x80) {
    let value = (block[offset] as number) & 0x7f;
    for (let index = 1; index < length; index += 1) value = value * 256 + (block[offset + index] as number);
    return value;
  }
  const digits = text(block, offset, length).trim();
  return digits === '' ? 0 : /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN;
}

function readMeta(type: string, bytes: Buffer): { path?: string; linkpath?: string; size?: number } {
  if (type === 'L') return { path: text(bytes, 0, bytes.length) };
  if (type === 'K') return { linkpath: text(bytes, 0, bytes.length) };
  const meta: { path?: string; linkpath?: string; size?: number } = {};
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    const length = Number(bytes.toString('latin1', at, space));
    if (space < 0 || !Number.isInteger(length) || length < space - at + 3 || at + length > bytes.length)
      break;
    const record = bytes.toString('utf8', space + 1, at + length - 1);
    const equals = record.indexOf('=');
    const [key, value] = [record.slice(0, equals), record.slice(equals + 1)];
    if (key === 'path' || key === 'linkpath') meta[key] = value;
    else if (key === 'size' && /^\d{1,15}$/.test(value)) meta.size = Number(value);
    at += length;
  }
  return meta;
}
