import { goJsonText } from '../../../../image/go-json.ts';
import type { CommandContext } from '../../../cli/contract.ts';
import { renderTable } from '../../../cli/table.ts';
import { compileTemplate, unescapeFormat } from '../../../cli/template/evaluate.ts';

/** How a listing is printed. */
export interface Listing {
  readonly rows: readonly object[];
  /** For `json`; default: the rows. */
  readonly json?: unknown;
  /** Of `--format`; empty: the default. */
  readonly format: string;
  /** Columns where no format is given, as a template. */
  readonly columns: string;
  /** Of fields whose heading is not their own name. */
  readonly headings?: Readonly<Record<string, string>>;
  readonly heading?: boolean;
}

/** Prints rows as Podman's report package does: JSON, a table with a heading, or one line for each row. */
export function printListing(
  { write, print }: Pick<CommandContext, 'write' | 'print'>,
  listing: Listing,
): void {
  const { rows, format } = listing;
  if (isJson(format)) {
    print(goJsonText(listing.json ?? rows, '    '));
    return;
  }
  const isTable = format === '' || /^table\s/.test(format);
  const text = unescapeFormat(format === '' ? listing.columns : format.replace(/^table\s+/, ''));
  // Blanks between two fields of a table separate columns.
  const template = compileTemplate(isTable ? text.replace(/\}\} +\{\{/g, '}}\t{{') : text);
  const lines = rows.map((row) => template(row));
  if (!isTable) {
    write(lines.map((line) => `${line}\n`).join(''));
    return;
  }
  const heading = listing.heading === false ? [] : [template(headingRow(listing))];
  write(
    renderTable(
      [...heading, ...lines].map((line) => line.split('\t')),
      2,
      12,
    ),
  );
}

export function isJson(format: string): boolean {
  return format === 'json' || /^\{\{\s*json(?:\s+\.)?\s*\}\}$/.test(format);
}

function headingRow({ rows, headings = {}, columns }: Listing): object {
  const named = [...columns.matchAll(/\.([A-Za-z]+)/g)].map(([, name = '']) => name);
  const names = new Set([...Object.keys(rows[0] ?? {}), ...Object.keys(headings), ...named]);
  return Object.fromEntries(
    [...names].map((name) => [
      name,
      headings[name] ?? name.replace(/([a-z])([A-Z])/g, '$1 $2').toUpperCase(),
    ]),
  );
}
