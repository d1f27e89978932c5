import { UsageError } from '../../cli/error.ts';
import { renderTable } from '../../cli/table.ts';
import { compileTemplate } from '../../cli/template/evaluate.ts';
import { BUILT_IN, FUNCTIONS, type TemplateFunction } from '../../cli/template/functions.ts';

const same: TemplateFunction = (text) => text;
/** What changes a value leaves its heading as it is; the others do not exist there. */
const OF_HEADINGS = { ...BUILT_IN, json: same, title: same, lower: same, upper: same, truncate: same };

/**
 * Rows by a Go template as the originals' formats package prints them, in aligned columns; `table …` has a heading.
 * @param headings heading of each field; one without is headed `<no value>`
 */
export function renderRows(
  rows: readonly object[],
  format: string,
  headings: Readonly<Record<string, string>>,
): string {
  const isTable = format.startsWith('table');
  // There every space of a format ends a column.
  const text = (isTable ? format.slice('table'.length).trim() : format).replaceAll(' ', '\t');
  const heading = isTable ? [compiled('header', text, OF_HEADINGS)(new Map(Object.entries(headings)))] : [];
  const lines = [...heading, ...rows.map(compiled('image', text, FUNCTIONS))];
  return renderTable(lines.flatMap((line) => line.split('\n')).map((line) => line.split('\t')));
}

function compiled(
  name: 'header' | 'image',
  text: string,
  functions: Readonly<Record<string, TemplateFunction>>,
): (data: object) => string {
  const within = <T>(action: () => T): T => {
    try {
      return action();
    } catch (error) {
      if (!(error instanceof UsageError) || error.code !== 'bad-template') throw error;
      const why = error.message.replace(/^template: format:/, `template: ${name}:`);
      throw new UsageError(error.code, `Template parsing error: ${why}`, { cause: error });
    }
  };
  const template = within(() => compileTemplate(text, {}, functions));
  return (data) => within(() => template(data));
}
