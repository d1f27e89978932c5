interface Column {
  width: number;
}

/**
 * Columns as Go's text/tabwriter lays them out for the originals: cells padded to the widest of the rows that follow
 * each other, plus `gap` blanks; the last cell of a row is in no column.
 */
export function renderTable(rows: readonly (readonly string[])[], gap = 3, minimumWidth = 0): string {
  const widthOf = rows.some((row) => SURROGATE.test(row.join(''))) ? characters : units;
  const columns = columnsOf(rows, widthOf, gap, minimumWidth);
  let text = '';
  for (let at = 0; at < rows.length; at += 1) {
    const row = rows[at]!;
    for (let cell = 0; cell < row.length - 1; cell += 1)
      text += row[cell]! + ' '.repeat(columns[at]![cell]!.width - widthOf(row[cell]!));
    text += `${row.at(-1) ?? ''}\n`;
  }
  return text;
}

/** Of each row; rows that follow each other share theirs, and a column ends with the rows that have it. */
function columnsOf(
  rows: readonly (readonly string[])[],
  widthOf: (text: string) => number,
  gap: number,
  minimumWidth: number,
): Column[][] {
  let columns: Column[] = [];
  return rows.map((row) => {
    const count = Math.max(0, row.length - 1);
    if (count !== columns.length)
      columns = Array.from({ length: count }, (_, at) => columns[at] ?? { width: minimumWidth });
    for (let at = 0; at < count; at += 1) {
      const width = widthOf(row[at]!) + gap;
      if (width > columns[at]!.width) columns[at]!.width = width;
    }
    return columns;
  });
}

const SURROGATE = /[\ud800-\udfff]/;
const units = (text: string) => text.length;
/** They are fewer than code units where there are some outside the basic plane. */
const characters = (text: string) => [...text].length;
