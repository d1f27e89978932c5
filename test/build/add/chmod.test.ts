import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { parseChmod } from '../../../build/add/chmod.ts';

const test = suite('chmod');

const CASES: readonly [text: string, before: number, isDirectory: boolean, after: number][] = [
  ['755', 0o600, false, 0o755],
  ['0644', 0o777, true, 0o644],
  ['4755', 0o644, false, 0o4755],
  ['u=rwX,go=rX', 0o600, true, 0o755],
  ['u=rwX,go=rX', 0o600, false, 0o644],
  ['u=rwX,go=rX', 0o700, false, 0o755],
  ['+x', 0o644, false, 0o755],
  ['go-w', 0o666, false, 0o644],
  ['a=r', 0o777, false, 0o444],
  ['u+s', 0o755, false, 0o4755],
  ['g+s,u+t', 0o755, true, 0o3755],
  ['o+t', 0o755, true, 0o755],
  ['a=rX', 0o1777, true, 0o1555],
  ['a-x,u+X', 0o755, false, 0o744],
  ['u=rwx,+X', 0o600, false, 0o700],
  ['g=u', 0o740, false, 0o770],
  ['u+w-x', 0o555, false, 0o655],
];
for (const [text, before, isDirectory, after] of CASES)
  test(`${text} makes ${before.toString(8)} ${after.toString(8)}`, () => {
    assert.equal(parseChmod(text)(before, isDirectory).toString(8), after.toString(8));
  });

for (const text of ['', '999', 'rwx', 'u=q', 'u', '77777'])
  test(`${JSON.stringify(text)} is refused`, () => {
    assert.throws(() => parseChmod(text), { code: 'bad-option' });
  });

test.run();
