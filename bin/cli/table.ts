/**
 * Columns as Go's text/tabwriter lays them out for the originals: cells padded to the widest plus `gap` blanks, the last
 * column not padded.
 */
export function renderTable(rows: readonly (readonly string[])[], gap = 3, minimumWidth = 0): string {
  const widths = columnWidths(rows, gap, minimumWidth);
  let text = '';
  for (const row of rows) {
    const last = row.length - 1;
    for (let index = 0; index < last; index += 1)
      text += (row[index] as string).padEnd(widths[index] as number);
    text += `${row[last] ?? ''}\n`;
  }
  return text;
}

function columnWidths(rows: readonly (readonly string[])[], gap: number, minimum: number): number[] {
  const widths: number[] = [];
  for (const row of rows)
    for (let index = 0; index < row.length; index += 1)
      widths[index] = Math.max(widths[index] ?? minimum, (row[index] as string).length + gap);
  return widths;
}
