import { TextDecoder } from 'node:util';

/**
 * The text of a Containerfile. Bytes that are no UTF-8 become lone surrogates (as Python's surrogateescape), which the
 * scanner refuses outside comments: old files have comments in other encodings.
 */
export function decodeContainerfile(bytes: Uint8Array): string {
  const text = new TextDecoder('utf-8', { ignoreBOM: true });
  const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  try {
    return strict.decode(bytes);
  } catch {
    return splitRows(bytes)
      .map((row) => (isValid(row, strict) ? text.decode(row) : escaped(row)))
      .join('');
  }
}

function splitRows(bytes: Uint8Array): Uint8Array[] {
  const rows: Uint8Array[] = [];
  let start = 0;
  while (start < bytes.length) {
    const newline = bytes.indexOf(0x0a, start);
    const end = newline < 0 ? bytes.length : newline + 1;
    rows.push(bytes.subarray(start, end));
    start = end;
  }
  return rows;
}

function isValid(row: Uint8Array, strict: TextDecoder): boolean {
  try {
    strict.decode(row);
    return true;
  } catch {
    return false;
  }
}

/** Every byte above 127 of such a row is shown as a lone surrogate: which of them are wrong does not matter. */
function escaped(row: Uint8Array): string {
  return Buffer.from(row)
    .toString('latin1')
    .replaceAll(/[\x80-\xff]/g, (char) => String.fromCharCode(0xdc00 + char.charCodeAt(0)));
}
