import { SignError } from '../error.ts';

/** One block of RFC 9580 section 6 armor. */
export interface ArmorBlock {
  /** `PUBLIC KEY BLOCK`, `PRIVATE KEY BLOCK`, `MESSAGE`, `SIGNATURE`. */
  readonly type: string;
  readonly bytes: Uint8Array;
}

/** True where the bytes are text with an armor header line rather than packets. */
export function isArmored(bytes: Uint8Array): boolean {
  return ((bytes[0] ?? 0) & 0x80) === 0 && latin1(bytes).includes('-----BEGIN PGP ');
}

/**
 * Every armor block of a file, in order; text around them is ignored, as gpg ignores it. The CRC-24 line is optional
 * and not checked (RFC 9580 section 6.1): signatures inside decide.
 * @throws SignError `bad-key`
 */
export function readArmor(bytes: Uint8Array): ArmorBlock[] {
  const blocks: ArmorBlock[] = [];
  let type: string | undefined;
  let inHeaders = false;
  let lines: string[] = [];
  for (const line of latin1(bytes).split(/\r?\n/)) {
    const trimmed = line.trimEnd();
    const begin = /^-----BEGIN PGP ([A-Z ]{1,40})-----$/.exec(trimmed);
    if (begin) {
      if (type !== undefined) throw bad(`block ${type} has no end`);
      type = begin[1] as string;
      inHeaders = true;
      lines = [];
    } else if (type === undefined) {
      // Text between blocks.
    } else if (trimmed === `-----END PGP ${type}-----`) {
      blocks.push({ type, bytes: decode(lines) });
      type = undefined;
    } else if (inHeaders && (trimmed === '' || !/^[A-Za-z]+: /.test(trimmed))) {
      inHeaders = false;
      if (trimmed !== '') lines.push(trimmed);
    } else if (!inHeaders) lines.push(trimmed);
  }
  if (type !== undefined) throw bad(`block ${type} has no end`);
  return blocks;
}

function decode(lines: readonly string[]): Uint8Array {
  const text = lines.filter((line) => !/^=[A-Za-z0-9+/]{4}$/.test(line)).join('');
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw bad('its base64 is broken');
  return Buffer.from(text, 'base64');
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function bad(why: string): SignError {
  return new SignError('bad-key', `invalid OpenPGP armor: ${why}`);
}
