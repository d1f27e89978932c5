import { TransportError } from '../error.ts';

/** An ASN.1 element in DER. */
export interface Element {
  readonly tag: number;
  readonly content: Buffer;
  /** With its header. */
  readonly whole: Buffer;
}

/** The elements that stand one after another. @throws TransportError `bad-layout` */
export function readElements(bytes: Buffer): Element[] {
  const elements: Element[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at] as number;
    let length = bytes[at + 1] ?? 0;
    let start = at + 2;
    if (length > 0x80) {
      const count = length & 0x7f;
      if (count > 4 || start + count > bytes.length) throw bad();
      length = bytes.readUIntBE(start, count);
      start += count;
    } else if (length === 0x80) throw bad();
    const end = start + length;
    if (end > bytes.length) throw bad();
    elements.push({ tag, content: bytes.subarray(start, end), whole: bytes.subarray(at, end) });
    at = end;
  }
  return elements;
}

/** The children of a constructed element. */
export function childrenOf(element: Element | undefined): Element[] {
  if (!element) throw bad();
  return readElements(element.content);
}

export function encode(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  if (content.length < 0x80) return Buffer.concat([Buffer.from([tag, content.length]), content]);
  const size = Buffer.from(
    content.length.toString(16).padStart(content.length > 0xffff ? 6 : content.length > 0xff ? 4 : 2, '0'),
    'hex',
  );
  return Buffer.concat([Buffer.from([tag, 0x80 | size.length]), size, content]);
}

function bad(): TransportError {
  return new TransportError('bad-layout', 'malformed DER in a wrapped key or certificate');
}
