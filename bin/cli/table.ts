/**
 * Columns as Go's text/tabwriter lays them out for the originals: cells padded to the widest plus `gap` blanks, the last
 * column not padded.
 */
export function renderTable(rows: readonly (readonly string[])[], gap = 3, minimumWidth = 0): string {
  const widths: number[] = [];
  for (const row of rows)
    for (const [index, cell] of row.entries())
      widths[index] = Math.max(widths[index] ?? minimumWidth, cell.length + gap);
  return rows
    .map(
      (row) =>
        `${row.map((cell, index) => (index === row.length - 1 ? cell : cell.padEnd(widths[index] as number))).join('')}\n`,
    )
    .join('');
}
