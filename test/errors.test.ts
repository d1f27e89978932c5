import { equal, throws } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import { ifThere } from '../errors.ts';

const test = suite('errors');

for (const [path, codes, expected] of [
  ['/proc/none', ['ENOENT'], undefined],
  ['/proc/version/x', ['ENOENT', 'ENOTDIR'], undefined],
  ['/proc/version/x', [], undefined],
  ['/proc/version/x', ['ENOENT'], /ENOTDIR/],
] as const)
  test(`${path} with ${codes.join(', ') || 'any code'} is ${expected ? 'an error' : 'not there'}`, () => {
    const read = () => ifThere(() => readFileSync(path), ...codes);
    if (expected) throws(read, expected);
    else equal(read(), expected);
  });

test('what is there is given, and other errors pass', () => {
  equal(
    ifThere(() => 0, 'ENOENT'),
    0,
  );
  throws(() => ifThere(() => JSON.parse('{')), SyntaxError);
});

test.run();
