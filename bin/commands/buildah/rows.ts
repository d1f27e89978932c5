import { renderTable } from '../../cli/table.ts';
import { compileTemplate, unescapeFormat } from '../../cli/template/evaluate.ts';

/**
 * Rows by a Go template as the originals' formats package prints them, in aligned columns; `table …` has a heading.
 * @param headings heading of each field; a field without one is headed by its own name
 */
export function renderRows(
  rows: readonly object[],
  format: string,
  headings: Readonly<Record<string, string>>,
): string {
  const isTable = format.startsWith('table');
  // There every space of a format ends a column.
  const text = unescapeFormat(isTable ? format.slice('table'.length).trim() : format).replaceAll(' ', '\t');
  const template = compileTemplate(text);
  const lines = rows.map((row) => template(row));
  if (!isTable && !text.includes('\t')) return lines.map((line) => `${line}\n`).join('');
  const heading = isTable ? [template(headingRow(rows[0], headings))] : [];
  return renderTable([...heading, ...lines].map((line) => line.split('\t')));
}

function headingRow(sample: object | undefined, headings: Readonly<Record<string, string>>): object {
  const names = [...new Set([...Object.keys(sample ?? {}), ...Object.keys(headings)])];
  return Object.fromEntries(names.map((name) => [name, headings[name] ?? name.toUpperCase()]));
}
