import { deepEqual, equal, throws } from 'node:assert/strict';
import { suite } from 'uvu';
import { goJsonText } from '../../image/go-json.ts';
import { parseJson } from '../../image/json.ts';

const test = suite('image/json');

const limits = { what: 'document' };
/** The last is in no way regular: it goes through the scanner. */
const writings = (value: unknown): string[] => [
  JSON.stringify(value),
  `${JSON.stringify(value)}\n`,
  goJsonText(value),
  JSON.stringify(value, undefined, 3),
  JSON.stringify(value, undefined, '\t'),
  ` ${JSON.stringify(value, undefined, 2)} `,
];

test('gives the same for every way to write a value, with objects that inherit nothing', () => {
  const values: unknown[] = [
    {},
    [],
    { a: [1, -2.5, 1e21, true, null, 'x<y>&z\u2028\ud83d\ude00"\\'], b: { c: {} } },
    [{ __proto__: null, 10: 'a', 9: 'b' }, JSON.parse('{"__proto__": {"x": 1}}')],
  ];
  const inherits = (value: unknown): boolean =>
    typeof value === 'object' &&
    value !== null &&
    ((!Array.isArray(value) && Object.getPrototypeOf(value) !== null) || Object.values(value).some(inherits));
  for (const value of values)
    for (const text of writings(value)) {
      const parsed = parseJson(text, limits);
      equal(JSON.stringify(parsed), JSON.stringify(value), text);
      equal(inherits(parsed), false, text);
      deepEqual(parseJson(Buffer.from(text), limits), parsed);
    }
});

test('refuses a key twice, however the document is written', () => {
  for (const text of [
    '{"a":1,"a":1}',
    '{"a":{"b":1,"b":2}}',
    '[{"a":1,"a":2}]',
    '{"\\u0061":1,"a":2}',
    '{"\\u003c":1,"<":2}',
    '{\n  "a": 1,\n  "a": 1\n}',
  ])
    throws(() => parseJson(text, limits), { code: 'bad-json', message: /duplicate key/ }, text);
});

test('refuses what is too deep, cut off, too large or not UTF-8', () => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
  equal(JSON.stringify(parseJson(nested(5), { ...limits, limitDepth: 4 })), nested(5));
  for (const [text, given] of [
    [nested(6), { ...limits, limitDepth: 4 }],
    [nested(100_000), limits],
    ['{"a":1', limits],
    ['{"a":1}x', limits],
    ['[1e999]', limits],
    ['\ufeff{}', limits],
    [Buffer.from([0x22, 0xff, 0x22]), limits],
  ] as const)
    throws(() => parseJson(text, given), { code: 'bad-json' });
  throws(() => parseJson('[1,2]', { ...limits, limitBytes: 4 }), { code: 'too-large' });
});

test.run();
