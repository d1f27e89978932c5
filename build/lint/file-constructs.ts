import type { ScannedFile } from '../parse/scan.ts';
import { differs, no, type Use } from './construct.ts';

/** BuildKit reads lines into a buffer of this size. */
const LIMIT_BUILDKIT_LINE = 65_535;

/** What the file as a whole uses: directives, its name, the length of its lines. */
export function fileConstructs(text: string, file: string, scanned: ScannedFile): readonly Use[] {
  const uses: Use[] = [];
  if (scanned.escape === '`')
    uses.push({
      what: '# escape=`',
      line: 1,
      verdicts: { buildah: differs('in values it takes backslashes for escapes all the same') },
    });
  if (scanned.syntax !== undefined) uses.push(frontend(scanned.syntax));
  if (file.endsWith('.in'))
    uses.push({
      what: 'the C preprocessor (.in)',
      line: 1,
      verdicts: { buildkit: no('it runs no preprocessor') },
    });
  const long = text.split('\n').findIndex((row) => row.length > LIMIT_BUILDKIT_LINE);
  if (long >= 0)
    uses.push({
      what: `a line of more than ${LIMIT_BUILDKIT_LINE} characters`,
      line: long + 1,
      verdicts: { buildkit: no('it reads no longer lines') },
    });
  return uses;
}

/** Any other frontend than Docker's own may read another language. */
function frontend(syntax: string): Use {
  const image = syntax.split(/\s/, 1)[0] as string;
  if (/^(?:docker\.io\/)?docker\/dockerfile(?:-upstream)?(?:[:@]|$)/.test(image))
    return { what: `# syntax=${image}`, line: 1 };
  const why = differs('it runs no frontend images and reads the file as a Containerfile');
  return { what: `# syntax=${image}`, line: 1, verdicts: { buildah: why, slipway: why } };
}
