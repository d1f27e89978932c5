import { SignError } from '../error.ts';

/** One PEM block, RFC 7468. */
export interface PemBlock {
  readonly label: string;
  readonly der: Uint8Array;
}

const BLOCK =
  /-----BEGIN ([A-Z0-9 ]{1,60})-----\r?\n([A-Za-z0-9+/=\r\n \t]*)-----END ([A-Z0-9 ]{1,60})-----(?:\r?\n|$)/y;

/**
 * The PEM blocks of a text, with nothing but white space around them.
 * @throws SignError `bad-key`
 */
export function readPem(input: Uint8Array | string): PemBlock[] {
  const text = typeof input === 'string' ? input : Buffer.from(input).toString('latin1');
  const blocks: PemBlock[] = [];
  for (let at = skipSpace(text, 0); at < text.length; at = skipSpace(text, at)) {
    BLOCK.lastIndex = at;
    const match = BLOCK.exec(text);
    if (!match || match[1] !== match[3]) throw new SignError('bad-key', 'invalid PEM data');
    const base64 = (match[2] as string).replace(/\s/g, '');
    if (base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(base64))
      throw new SignError('bad-key', 'invalid base64 in PEM data');
    blocks.push({ label: match[1] as string, der: Buffer.from(base64, 'base64') });
    at += match[0].length;
  }
  return blocks;
}

/** The PEM blocks of a file that a person trusts, which may carry explanations between them, as CA files do. */
export function readPemAmongText(input: Uint8Array | string): PemBlock[] {
  const text = typeof input === 'string' ? input : Buffer.from(input).toString('latin1');
  return (text.match(/-----BEGIN [A-Z0-9 ]+-----[^-]*-----END [A-Z0-9 ]+-----/g) ?? []).flatMap((block) =>
    readPem(block),
  );
}

/** The only block of a text. @throws SignError `bad-key` */
export function readOnePem(input: Uint8Array | string, what: string): PemBlock {
  const blocks = readPem(input);
  const [block] = blocks;
  if (!block) throw new SignError('bad-key', `${what} is not in PEM format`);
  if (blocks.length > 1) throw new SignError('bad-key', `${what} has trailing data`);
  return block;
}

export function formatPem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

function skipSpace(text: string, at: number): number {
  let next = at;
  while (next < text.length && ' \t\r\n'.includes(text[next] as string)) next += 1;
  return next;
}
