import { printable } from '../../image/printable.ts';

const LIMIT_CHARS = 4096;

/**
 * The text of a `Warning: 299 - "…"` header (distribution-spec 1.1, "Warnings"), as a quoted string that is safe for a
 * terminal; undefined for any other form.
 */
export function parseWarning(header: string): string | undefined {
  const prefix = '299 - "';
  if (header.length > LIMIT_CHARS || !header.startsWith(prefix) || !header.endsWith('"')) return undefined;
  const body = header.slice(prefix.length, -1);
  let text = '';
  for (let at = 0; at < body.length; at += 1) {
    let char = body[at] as string;
    if (char === '"') return undefined;
    if (char === '\\') {
      at += 1;
      if (at >= body.length) return undefined;
      char = body[at] as string;
    }
    text += char;
  }
  return text === '' || /[\u0000-\u0008\u000a-\u001f\u007f]/.test(text) ? undefined : quoteForTerminal(text);
}

/** A Go-like quoted string: control, bidirectional and other invisible characters are escaped. */
export function quoteForTerminal(text: string): string {
  return `"${printable(text).replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}
