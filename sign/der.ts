import { invalid } from './error.ts';

/** DER pieces, X.690: enough to build public keys and to read certificates. */
export interface DerElement {
  /** The identifier octet. */
  readonly tag: number;
  readonly content: Uint8Array;
  /** Header and content. */
  readonly raw: Uint8Array;
}

export const DER = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  sequence: 0x30,
  set: 0x31,
  generalizedTime: 0x18,
} as const;

export function derEncode(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(contents);
  const length = content.length;
  const header =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Uint8Array.from(header), content]);
}

/** An unsigned big-endian number as DER INTEGER. */
export function derInteger(bytes: Uint8Array): Uint8Array {
  const first = bytes[0];
  if (first === undefined) return derEncode(DER.integer, Uint8Array.of(0));
  return first < 0x80 ? derEncode(DER.integer, bytes) : derEncode(DER.integer, Uint8Array.of(0), bytes);
}

export function derOid(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second, ...rest.flatMap(base128)];
  return derEncode(DER.oid, Uint8Array.from(bytes));
}

function base128(value: number): number[] {
  const groups = [value % 128];
  for (let left = Math.floor(value / 128); left > 0; left = Math.floor(left / 128))
    groups.unshift((left % 128) | 0x80);
  return groups;
}

/** A SubjectPublicKeyInfo. `parameters` is a whole DER element; `key` the content of the bit string. */
export function derPublicKey(oid: string, parameters: Uint8Array | undefined, key: Uint8Array): Uint8Array {
  const algorithm = derEncode(DER.sequence, derOid(oid), ...(parameters ? [parameters] : []));
  return derEncode(DER.sequence, algorithm, derEncode(DER.bitString, Uint8Array.of(0), key));
}

/** The elements that stand one after another in `bytes`. @throws SignError `invalid-signature` */
export function derRead(bytes: Uint8Array): DerElement[] {
  const elements: DerElement[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at] as number;
    if ((tag & 0x1f) === 0x1f) throw invalid('invalid ASN.1: long tag');
    let header = 2;
    let length = bytes[at + 1];
    if (length === undefined) throw invalid('invalid ASN.1: it ends too early');
    if (length >= 0x80) {
      const count = length & 0x7f;
      if (count === 0 || count > 3) throw invalid('invalid ASN.1: bad length');
      length = bytes.subarray(at + 2, at + 2 + count).reduce((sum, byte) => sum * 256 + byte, 0);
      header += count;
    }
    const end = at + header + length;
    if (end > bytes.length) throw invalid('invalid ASN.1: it ends too early');
    elements.push({ tag, content: bytes.subarray(at + header, end), raw: bytes.subarray(at, end) });
    at = end;
  }
  return elements;
}

/** The one element that `bytes` are, of the given tag, with nothing behind it. */
export function derOne(bytes: Uint8Array, tag: number): DerElement {
  const [element, ...more] = derRead(bytes);
  if (!element || more.length > 0) throw invalid('invalid ASN.1: trailing data');
  if (element.tag !== tag) throw invalid('invalid ASN.1: unexpected type');
  return element;
}

/** A GeneralizedTime in UTC, as milliseconds since the epoch. @throws SignError `invalid-signature` */
export function derTime({ tag, content }: DerElement): number {
  const text = Buffer.from(content).toString('latin1');
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\.\d{1,9})?Z$/.exec(text);
  if (tag !== DER.generalizedTime || !match) throw invalid('invalid ASN.1: not a time');
  const [, year, month, day, hours, minutes, seconds, fraction = ''] = match;
  const atMs = Date.parse(`${year}-${month}-${day}T${hours}:${minutes}:${seconds}${fraction.slice(0, 4)}Z`);
  if (Number.isNaN(atMs)) throw invalid('invalid ASN.1: not a time');
  return atMs;
}

/** Dotted form of an OID's content. */
export function oidText(content: Uint8Array): string {
  const numbers: number[] = [];
  let value = 0;
  for (const byte of content) {
    value = value * 128 + (byte & 0x7f);
    if (byte < 0x80) {
      numbers.push(value);
      value = 0;
    }
  }
  const head = numbers[0] ?? 0;
  const first = Math.min(2, Math.floor(head / 40));
  return [first, head - first * 40, ...numbers.slice(1)].join('.');
}
