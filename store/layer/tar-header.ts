import { StoreError } from '../error.ts';
import { BLOCK_BYTES, paddingOf, TAR_TYPE, type TarEntry } from './tar-entry.ts';

const NAME_BYTES = 100;
const PREFIX_BYTES = 155;
const SPECIAL_LIMIT_BYTES = 1 << 20;
const NS = 1_000_000_000n;

/**
 * The header blocks of an entry as Go's archive/tar writes them, which containers/storage uses: plain ustar where
 * everything fits, else a PAX header with sorted records before a ustar block.
 * @throws StoreError `bad-layer` for values that PAX cannot express
 */
export function encodeTarHeader(entry: TarEntry): Buffer {
  const records = new Map<string, string>();
  const split = splitName(entry.name);
  if (entry.name.length > NAME_BYTES ? !split : !isAscii(entry.name)) records.set('path', entry.name);
  if (!fits(entry.linkName, NAME_BYTES)) records.set('linkpath', entry.linkName);
  if (!fits(entry.userName, 32)) records.set('uname', entry.userName);
  if (!fits(entry.groupName, 32)) records.set('gname', entry.groupName);
  if (!fitsOctal(entry.uid, 8)) records.set('uid', String(entry.uid));
  if (!fitsOctal(entry.gid, 8)) records.set('gid', String(entry.gid));
  if (!fitsOctal(entry.sizeBytes, 12)) records.set('size', String(entry.sizeBytes));
  const seconds = floorDivide(entry.modifiedNs, NS);
  if (!fitsOctal(Number(seconds), 12) || entry.modifiedNs % NS !== 0n)
    records.set('mtime', paxTime(entry.modifiedNs));
  for (const [key, value] of entry.pax) if (!records.has(key)) records.set(key, value);
  if (!fitsOctal(entry.deviceMajor, 8) || !fitsOctal(entry.deviceMinor, 8))
    throw new StoreError(
      'bad-layer',
      `device number of ${JSON.stringify(entry.name)} does not fit in a tar header`,
    );

  const isUstar = records.size === 0;
  const name = isUstar && split ? split.name : entry.name;
  const block = headerBlock(entry, isUstar ? name : asciiOf(name), Number(seconds), !isUstar);
  if (isUstar && split) putText(block, 345, PREFIX_BYTES, split.prefix);
  sealHeader(block);
  return isUstar ? block : Buffer.concat([paxBlocks(entry.name, records), block]);
}

/** The end of an archive: two empty blocks. */
export const END_OF_ARCHIVE_BYTES = 2 * BLOCK_BYTES;

function headerBlock(entry: TarEntry, name: string, seconds: number, isPax: boolean): Buffer {
  const text = (value: string) => (isPax ? asciiOf(value) : value);
  const block = Buffer.alloc(BLOCK_BYTES);
  putText(block, 0, NAME_BYTES, name);
  putOctal(block, 100, 8, entry.mode);
  putOctal(block, 108, 8, entry.uid);
  putOctal(block, 116, 8, entry.gid);
  putOctal(block, 124, 12, entry.sizeBytes);
  putOctal(block, 136, 12, seconds);
  block.write(entry.type, 156, 'latin1');
  putText(block, 157, NAME_BYTES, text(entry.linkName));
  putText(block, 265, 32, text(entry.userName));
  putText(block, 297, 32, text(entry.groupName));
  putOctal(block, 329, 8, entry.deviceMajor);
  putOctal(block, 337, 8, entry.deviceMinor);
  return block;
}

function paxBlocks(name: string, records: Map<string, string>): Buffer {
  const body = Buffer.from(
    [...records]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => paxRecord(key, value))
      .join(''),
    'latin1',
  );
  if (body.length > SPECIAL_LIMIT_BYTES) {
    throw new StoreError(
      'bad-layer',
      `the name and attributes of ${JSON.stringify(name.slice(0, 200))} exceed ${SPECIAL_LIMIT_BYTES} bytes`,
    );
  }
  const blocks = Buffer.alloc(BLOCK_BYTES + body.length + paddingOf(body.length));
  putText(blocks, 0, NAME_BYTES, asciiOf(paxHeaderName(name)).slice(0, NAME_BYTES).replace(/\/+$/, ''));
  for (const at of [100, 108, 116]) putOctal(blocks, at, 8, 0);
  putOctal(blocks, 124, 12, body.length);
  putOctal(blocks, 136, 12, 0);
  blocks.write(TAR_TYPE.pax, 156, 'latin1');
  sealHeader(blocks);
  body.copy(blocks, BLOCK_BYTES);
  return blocks;
}

/** `dir/PaxHeaders.0/file`, and `dir/PaxHeaders.0` for a directory's `dir/`. */
function paxHeaderName(name: string): string {
  const slash = name.lastIndexOf('/') + 1;
  return [...name.slice(0, slash).split('/').filter(Boolean), 'PaxHeaders.0', name.slice(slash)]
    .filter(Boolean)
    .join('/');
}

function paxRecord(key: string, value: string): string {
  if (key === '' || key.includes('=') || key.includes('\0'))
    throw new StoreError(
      'bad-layer',
      `attribute name ${JSON.stringify(key)} cannot be stored in a tar header`,
    );
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + String(rest.length).length;
  if (String(length).length !== String(rest.length).length) length = rest.length + String(length).length;
  return `${length}${rest}`;
}

/** Decimal seconds with the fraction's trailing zeros removed. */
function paxTime(ns: bigint): string {
  const sign = ns < 0n ? '-' : '';
  const absolute = ns < 0n ? -ns : ns;
  const fraction = (absolute % NS).toString().padStart(9, '0').replace(/0+$/, '');
  return `${sign}${absolute / NS}${fraction && `.${fraction}`}`;
}

function splitName(name: string): { prefix: string; name: string } | undefined {
  if (name.length <= NAME_BYTES || !isAscii(name)) return undefined;
  let length = name.length;
  if (length > PREFIX_BYTES + 1) length = PREFIX_BYTES + 1;
  else if (name.endsWith('/')) length -= 1;
  const slash = name.slice(0, length).lastIndexOf('/');
  const rest = name.length - slash - 1;
  if (slash <= 0 || rest > NAME_BYTES || rest === 0 || slash > PREFIX_BYTES) return undefined;
  return { prefix: name.slice(0, slash), name: name.slice(slash + 1) };
}

function floorDivide(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value < 0n && quotient * by !== value ? quotient - 1n : quotient;
}

const isAscii = (text: string) => !/[^\x01-\x7f]/.test(text);
const asciiOf = (text: string) => text.replace(/[^\x01-\x7f]/g, '');
const fits = (text: string, bytes: number) => text.length <= bytes && isAscii(text);
const fitsOctal = (value: number, bytes: number) => value >= 0 && value < 8 ** (bytes - 1);

function putText(block: Buffer, at: number, bytes: number, text: string): void {
  block.write(text, at, bytes, 'latin1');
  // Some readers take a cut name that ends in a slash for a directory's.
  if (text.length > bytes && text[bytes - 1] === '/')
    block[at + text.slice(0, bytes - 1).replace(/\/+$/, '').length] = 0;
}

/** Digit by digit: making and writing a string for each number takes longer than all else of a header. */
function putOctal(block: Buffer, at: number, bytes: number, value: number): void {
  let rest = fitsOctal(value, bytes) ? value : 0;
  for (let place = at + bytes - 2; place >= at; place -= 1) {
    const next = Math.floor(rest / 8);
    block[place] = ZERO + rest - next * 8;
    rest = next;
  }
}

const [SPACE, ZERO] = [0x20, 0x30];
const MAGIC = Buffer.from('ustar\x0000', 'latin1');

function sealHeader(block: Buffer): void {
  block.set(MAGIC, 257);
  let sum = 8 * SPACE;
  for (let at = 0; at < BLOCK_BYTES; at += 1) sum += block[at]!;
  for (let at = 148; at < 156; at += 1) sum -= block[at]!;
  putOctal(block, 148, 7, sum);
  block[154] = 0;
  block[155] = SPACE;
}
