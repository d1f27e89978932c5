import { UsageError } from './error.ts';

/** One line of Go's encoding/csv, which pflag splits slice values with: quotes protect commas. @throws UsageError `bad-flag` */
export function splitCsv(line: string): string[] {
  if (!line.includes('"')) return line === '' ? [] : line.split(',');
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    const field = readField(line, at);
    fields.push(field.text);
    at = field.end;
    if (at >= line.length) return fields;
    at += 1;
  }
}

function readField(line: string, start: number): { text: string; end: number } {
  if (line[start] !== '"') {
    const comma = line.indexOf(',', start);
    const end = comma < 0 ? line.length : comma;
    const text = line.slice(start, end);
    if (text.includes('"'))
      throw new UsageError(
        'bad-flag',
        `parse error on line 1, column ${start + text.indexOf('"') + 1}: bare " in non-quoted-field`,
      );
    return { text, end };
  }
  let text = '';
  let at = start + 1;
  for (;;) {
    const quote = line.indexOf('"', at);
    if (quote < 0)
      throw new UsageError(
        'bad-flag',
        `parse error on line 1, column ${line.length + 1}: extraneous or missing " in quoted-field`,
      );
    text += line.slice(at, quote);
    if (line[quote + 1] !== '"') {
      const end = quote + 1;
      if (end < line.length && line[end] !== ',')
        throw new UsageError(
          'bad-flag',
          `parse error on line 1, column ${end + 1}: extraneous or missing " in quoted-field`,
        );
      return { text, end };
    }
    text += '"';
    at = quote + 2;
  }
}
