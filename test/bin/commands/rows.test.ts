import { equal, throws } from 'node:assert/strict';
import { suite } from 'uvu';
import { renderRows } from '../../../bin/commands/buildah/rows.ts';

const HEADINGS = { ID: 'IMAGE ID', Name: 'REPOSITORY' };
const ROWS = [
  { ID: 'a1', Name: 'one', Digest: 'sha256:1' },
  { ID: 'b2', Name: 'seven', Digest: 'sha256:2' },
];

const test = suite('rows by a format');
for (const [format, expected, reason] of [
  ['{{.ID}}', 'a1\nb2\n', 'a line for each'],
  ['{{.Name}} {{.ID}}', 'one     a1\nseven   b2\n', 'a space ends a column'],
  ['{{ .Name }}', 'one\nseven\n', 'spaces of an action are none'],
  ['{{.ID}}\\t{{.Name}}', 'a1\\tone\nb2\\tseven\n', 'escapes stay as they are'],
  [
    'table {{.ID}}\t{{.Digest}}',
    'IMAGE ID   <no value>\na1         sha256:1\nb2         sha256:2\n',
    'no heading',
  ],
  ['table{{.ID}}', 'IMAGE ID\na1\nb2\n', 'a table without a space'],
  [
    'table {{lower .ID}} {{.Name | upper}}',
    'IMAGE ID   REPOSITORY\na1         ONE\nb2         SEVEN\n',
    'headings stay',
  ],
  ['{{.ID}}\n {{.Name}}', 'a1\n   one\nb2\n   seven\n', 'a column ends with the lines that have it'],
] as const)
  test(`${JSON.stringify(format)}: ${reason}`, () => equal(renderRows(ROWS, format, HEADINGS), expected));

for (const [format, message] of [
  ['{{.Nope}}', /^Template parsing error: template: image:.*can't evaluate field Nope/],
  ['{{none}}', /^Template parsing error: template: image:.*function "none" not defined/],
  ['table {{pad .ID 1 1}}', /^Template parsing error: template: header:.*function "pad" not defined/],
] as const)
  test(`${format} is an error`, () => {
    for (const rows of format === '{{.Nope}}' ? [ROWS] : [ROWS, []])
      throws(() => renderRows(rows, format, HEADINGS), { message });
  });

test.run();
