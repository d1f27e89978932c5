import { StoreError } from '../error.ts';
import { BLOCK_BYTES, type TarEntry } from './tar-entry.ts';

/** A piece of a sparse file that is in the archive; between pieces are zeros. */
export interface SparsePiece {
  readonly offset: number;
  readonly sizeBytes: number;
}

export interface SparseMap {
  /** Of the whole file. */
  readonly sizeBytes: number;
  readonly pieces: readonly SparsePiece[];
}

const PIECES_LIMIT = 1 << 20;
const OLD_MAP_AT = 386;
const OLD_PIECES = 4;
const OLD_MORE_AT = 482;
const OLD_SIZE_AT = 483;
const MORE_PIECES = 21;
const MORE_MORE_AT = 504;
const PIECE_BYTES = 24;

/** What reads the numbers of a header: octal, or base 256. */
type Numeric = (block: Buffer, at: number, bytes: number) => number;

/** The map of GNU tar's own format, in the header and in blocks after it. */
export function readOldSparseMap(header: Buffer, nextBlock: () => Buffer, numeric: Numeric): SparseMap {
  const pieces: SparsePiece[] = [];
  const take = (block: Buffer, start: number, count: number) => {
    for (let at = start; at < start + count * PIECE_BYTES && block[at] !== 0; at += PIECE_BYTES)
      pieces.push({ offset: numeric(block, at, 12), sizeBytes: numeric(block, at + 12, 12) });
  };
  take(header, OLD_MAP_AT, OLD_PIECES);
  for (let more = header[OLD_MORE_AT] !== 0; more; ) {
    const block = nextBlock();
    take(block, 0, MORE_PIECES);
    more = block[MORE_MORE_AT] !== 0;
    if (pieces.length > PIECES_LIMIT) throw tooMany();
  }
  return checked({ sizeBytes: numeric(header, OLD_SIZE_AT, 12), pieces });
}

/**
 * The map of PAX formats 0.1, in records, and 1.0, in the first blocks of the content; the entry's name becomes the
 * real one. Undefined for other formats and for files that are not sparse.
 * @param take reads blocks of the content
 */
export function readPaxSparseMap(entry: TarEntry, take: () => Buffer): SparseMap | undefined {
  const record = (key: string) => entry.pax.get(`GNU.sparse.${key}`);
  const sizeBytes = numberOf(record('realsize') ?? record('size'));
  const version = `${record('major') ?? 0}.${record('minor') ?? 1}`;
  const map = record('map');
  if (version !== '1.0' && (version !== '0.1' || map === undefined)) return undefined;
  const numbers = version === '1.0' ? leadingNumbers(take) : map === '' ? [] : (map ?? '').split(',');
  const pieces: SparsePiece[] = [];
  for (let at = 0; at < numbers.length; at += 2)
    pieces.push({ offset: numberOf(numbers[at]), sizeBytes: numberOf(numbers[at + 1]) });
  if (pieces.length > PIECES_LIMIT) throw tooMany();
  entry.name = record('name') ?? entry.name;
  for (const key of [...entry.pax.keys()]) if (key.startsWith('GNU.sparse.')) entry.pax.delete(key);
  return checked({ sizeBytes, pieces });
}

/** Lines of decimal numbers, the first of which says how many pairs follow, padded to whole blocks. */
function leadingNumbers(take: () => Buffer): string[] {
  let text = '';
  let wanted = 1;
  for (;;) {
    text += take().toString('latin1');
    const lines = text.split('\n');
    if (lines.length > 1) wanted = 1 + 2 * numberOf(lines[0]);
    if (wanted > 2 * PIECES_LIMIT) throw tooMany();
    if (lines.length > wanted) return lines.slice(1, wanted);
    if (lines.length === 1) throw malformed();
  }
}

/** @throws StoreError `bad-layer` where the pieces are not all of what the archive has of the file */
export function checkPieces({ pieces }: SparseMap, storedBytes: number, name: string): void {
  const stored = pieces.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  if (stored === storedBytes) return;
  throw new StoreError('bad-layer', `the map of the sparse file ${name} does not fit its size`);
}

function checked(map: SparseMap): SparseMap {
  let end = 0;
  for (const { offset, sizeBytes } of map.pieces) {
    if (offset < end || !Number.isSafeInteger(offset + sizeBytes)) throw malformed();
    end = offset + sizeBytes;
  }
  if (end > map.sizeBytes) throw malformed();
  return map;
}

function numberOf(text: string | undefined): number {
  if (text === undefined || !/^\d{1,16}$/.test(text) || !Number.isSafeInteger(Number(text)))
    throw malformed();
  return Number(text);
}

const malformed = () => new StoreError('bad-layer', 'the map of a sparse file in the archive is malformed');
const tooMany = () =>
  new StoreError('bad-layer', `a sparse file in the archive has more than ${PIECES_LIMIT} pieces`);

const ZEROS = Buffer.alloc(128 * BLOCK_BYTES);

/** The content of a sparse file as it is read: pieces from the archive, zeros between and after them. */
export class SparseContent {
  readonly #map: SparseMap;
  #piece = 0;
  #at = 0;

  constructor(map: SparseMap) {
    this.#map = map;
  }

  /** @param read up to so many bytes of the archive; empty views end the content */
  next(limit: number, read: (limit: number) => Buffer): Buffer {
    const { isHole, leftBytes } = this.#here();
    const wanted = Math.min(limit, leftBytes);
    const view = isHole ? ZEROS.subarray(0, Math.min(wanted, ZEROS.length)) : read(wanted);
    this.#at += view.length;
    return view;
  }

  /** Passes over the zeros that come next, and says how many; 0 before a piece and at the end. */
  hole(): number {
    const { isHole, leftBytes } = this.#here();
    if (!isHole) return 0;
    this.#at += leftBytes;
    return leftBytes;
  }

  /** The piece or hole that the content is in, and how much of it there is left. */
  #here(): { readonly isHole: boolean; readonly leftBytes: number } {
    const { pieces, sizeBytes } = this.#map;
    let piece = pieces[this.#piece];
    while (piece && this.#at >= piece.offset + piece.sizeBytes) piece = pieces[++this.#piece];
    if (piece && this.#at >= piece.offset)
      return { isHole: false, leftBytes: piece.offset + piece.sizeBytes - this.#at };
    return { isHole: true, leftBytes: (piece?.offset ?? sizeBytes) - this.#at };
  }
}
