import { deepEqual, equal } from 'node:assert/strict';
import { suite } from 'uvu';
import { findCycle, forbiddenEdges, readImports } from '../../scripts/import-rules.ts';

const edge = (from: string, to: string, eager = true) => ({ from, to, eager });
const test = suite('import rules');
for (const [from, to, allowed] of [
  ['image/a.ts', 'errors.ts', true],
  ['image/a.ts', 'config/b.ts', false],
  ['sign/a.ts', 'config/b.ts', true],
  ['sign/a.ts', 'store/b.ts', false],
  ['store/a.ts', 'sign/b.ts', false],
  ['transport/a.ts', 'sign/b.ts', false],
  ['build/a.ts', 'transport/b.ts', true],
  ['build/a.ts', 'artifact/b.ts', false],
  ['registry/a.ts', 'config/b.ts', false],
  ['bin/a.ts', 'sign/b.ts', true],
  ['index.ts', 'build/b.ts', true],
  ['build/a.ts', 'bin/b.ts', false],
] as const) {
  test(`${from} ${allowed ? 'may' : 'may not'} import ${to}`, () =>
    equal(forbiddenEdges([edge(from, to)]).length, allowed ? 0 : 1));
}
test('a cycle is found, a lazy one is none', () => {
  deepEqual(findCycle([edge('a', 'b'), edge('b', 'c'), edge('c', 'a')]), ['a', 'b', 'c', 'a']);
  equal(findCycle([edge('a', 'b'), edge('b', 'a', false)]), undefined);
});
test('the tree keeps the rules', () => {
  const edges = readImports();
  equal(edges.length > 100, true);
  deepEqual(forbiddenEdges(edges), []);
  equal(findCycle(edges), undefined);
});
test.run();
