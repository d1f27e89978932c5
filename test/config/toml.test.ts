import { deepEqual, rejects } from 'node:assert/strict';
import { suite } from 'uvu';
import { parseToml } from '../../config/toml.ts';

const test = suite('config/toml');

const plain = (value: unknown) => JSON.parse(JSON.stringify(value)) as unknown;

test('reads what stands between comments', async () => {
  const cases: [string, unknown][] = [
    ['# a\n  # b\r\na = 1 # c\n#', { a: 1 }],
    ['a = [\n# "x",\n  "#y",\n]\n\t#z', { a: ['#y'] }],
    ['a = "x\u2028# y"', { a: 'x\u2028# y' }],
    ['a = """\n# text\n"""\n# b', { a: '# text\n' }],
    ["a = '''\n# text\n'''", { a: '# text\n' }],
  ];
  for (const [text, expected] of cases) deepEqual(plain(await parseToml(text)), expected, text);
});

test('says the line of an error behind comments, and refuses control characters in them', async () => {
  await rejects(parseToml('# one\n# two\na = \n'), { line: 3 });
  await rejects(parseToml('# one\n# two \u0001\na = 1\n'), { line: 2 });
  await rejects(parseToml('# one\n# two \r three\na = 1\n'), { line: 2 });
});

test.run();
