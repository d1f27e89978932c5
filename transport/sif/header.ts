import { type FileHandle, open } from 'node:fs/promises';
import { isSystemError } from '../../errors.ts';
import { TransportError } from '../error.ts';

/** A piece of a SIF file. */
export interface SifObject {
  readonly offset: number;
  readonly size: number;
}

/** What an image is made from: the SIF specification, version 1.0 (global header and descriptors). */
export interface SifImage {
  /** OCI name of the primary system partition's architecture; empty when unknown. */
  readonly architecture: string;
  readonly uuid: string;
  /** Seconds since the epoch. */
  readonly modified: number;
  readonly rootfs: SifObject & { readonly isSquashfs: boolean };
  /** Text of the definition file. */
  readonly definition?: string;
}

const HEADER_BYTES = 128;
const DESCRIPTOR_BYTES = 585;
const EXTRA_AT = 201;
const DEFINITION = 0x4001;
const PARTITION = 0x4004;
const SQUASHFS = 1;
const PRIMARY_SYSTEM = 2;
const LIMIT_DESCRIPTORS = 4096;
const LIMIT_DEFINITION_BYTES = 1024 * 1024;

const ARCHITECTURES: Readonly<Record<string, string>> = {
  '01': '386',
  '02': 'amd64',
  '03': 'arm',
  '04': 'arm64',
  '05': 'ppc64',
  '06': 'ppc64le',
  '07': 'mips',
  '08': 'mipsle',
  '09': 'mips64',
  '10': 'mips64le',
  '11': 's390x',
  '12': 'riscv64',
};

/** @throws TransportError `not-found`, `bad-archive` */
export async function readSif(path: string): Promise<SifImage> {
  const file = await open(path).catch((cause: unknown) => {
    if (!isSystemError(cause, 'ENOENT')) throw cause;
    throw new TransportError('not-found', `loading SIF file: open ${path}: no such file or directory`, {
      cause,
    });
  });
  try {
    return await readImage(file, path);
  } finally {
    await file.close();
  }
}

async function readImage(file: FileHandle, path: string): Promise<SifImage> {
  const header = await bytesAt(file, path, 0, HEADER_BYTES);
  if (header.toString('latin1', 32, 42) !== 'SIF_MAGIC\0') throw bad(path, 'invalid magic');
  const count = integer(header, 88, path);
  if (count > LIMIT_DESCRIPTORS) throw bad(path, `${count} descriptors`);
  const table = await bytesAt(file, path, integer(header, 96, path), count * DESCRIPTOR_BYTES);
  let image: Pick<SifImage, 'rootfs' | 'architecture'> | undefined;
  let definition: string | undefined;
  for (let at = 0; at < table.length; at += DESCRIPTOR_BYTES) {
    const entry = table.subarray(at, at + DESCRIPTOR_BYTES);
    if (entry[4] === 0) continue;
    const object = { offset: integer(entry, 17, path), size: integer(entry, 25, path) };
    const type = entry.readInt32LE(0);
    if (type === DEFINITION && definition === undefined)
      definition = await readDefinition(file, path, object);
    if (type !== PARTITION || entry.readInt32LE(EXTRA_AT + 4) !== PRIMARY_SYSTEM || image) continue;
    const architecture = ARCHITECTURES[entry.toString('latin1', EXTRA_AT + 8, EXTRA_AT + 10)] ?? '';
    image = { architecture, rootfs: { ...object, isSquashfs: entry.readInt32LE(EXTRA_AT) === SQUASHFS } };
  }
  if (!image) throw bad(path, 'it has no primary system partition');
  return {
    ...image,
    uuid: formatUuid(header.toString('hex', 48, 64)),
    modified: integer(header, 72, path),
    ...(definition === undefined ? {} : { definition }),
  };
}

async function readDefinition(file: FileHandle, path: string, { offset, size }: SifObject): Promise<string> {
  if (size > LIMIT_DEFINITION_BYTES) throw bad(path, 'its definition file is too large');
  return (await bytesAt(file, path, offset, size)).toString('utf8');
}

async function bytesAt(file: FileHandle, path: string, offset: number, size: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(size), 0, size, offset);
  if (bytesRead !== size) throw bad(path, 'it is truncated');
  return buffer;
}

function integer(bytes: Buffer, at: number, path: string): number {
  const value = bytes.readBigInt64LE(at);
  if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) throw bad(path, 'a number is out of range');
  return Number(value);
}

function formatUuid(hex: string): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function bad(path: string, why: string): TransportError {
  return new TransportError('bad-archive', `loading SIF file ${path}: ${why}`, { facts: { path } });
}
