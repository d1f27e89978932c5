import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { componentPattern, hasWildcard, IgnoreRules } from '../../../build/add/pattern.ts';

const test = suite('patterns of added files');

const COMPONENTS: readonly [pattern: string, name: string, matches: boolean][] = [
  ['*.txt', 'a.txt', true],
  ['*.txt', '.txt', true],
  ['*.txt', 'a.txt.gz', false],
  ['?', 'é', true],
  ['[a-c]1', 'b1', true],
  ['[^a-c]1', 'b1', false],
  ['\\*', '*', true],
  ['\\*', 'x', false],
  ['a.b', 'axb', false],
  ['[]]', ']', true],
];
for (const [pattern, name, matches] of COMPONENTS)
  test(`${pattern} ${matches ? 'matches' : 'does not match'} ${name}`, () => {
    assert.equal(componentPattern(pattern).test(name), matches);
  });

test('a class that does not end is an error, not a hang', () => {
  assert.throws(() => componentPattern('[a'), { code: 'bad-argument' });
  assert.throws(() => componentPattern('a\\'), { code: 'bad-argument' });
});

test('long near misses take no time', () => {
  const started = Date.now();
  componentPattern(`${'*a'.repeat(20)}b`).test('a'.repeat(60));
  new IgnoreRules([`${'**/'.repeat(8)}x`]).excludes(`${'a/'.repeat(40)}y`);
  assert.ok(Date.now() - started < 20_000);
});

test('wildcards are *, ? and [', () => {
  assert.equal(hasWildcard('a/b'), false);
  assert.equal(hasWildcard('a/*'), true);
});

const RULES: readonly [rules: string[], path: string, excluded: boolean][] = [
  [['*.md'], 'README.md', true],
  [['*.md'], 'docs/README.md', false],
  [['**/*.md'], 'docs/README.md', true],
  [['**/*.md'], 'README.md', true],
  [['**.md'], 'README.md', false],
  [['**.md'], 'docs/.md', true],
  [['docs**'], 'docs-old/a', true],
  [['***'], 'a/b', true],
  [['docs'], 'docs/a/b', true],
  [['docs/'], 'docs/a', true],
  [['/docs'], 'docs', true],
  [['*', '!keep'], 'keep', false],
  [['*', '!keep'], 'keep/below', false],
  [['*', '!keep', 'keep/secret'], 'keep/secret', true],
  [['docs', '!docs/a'], 'docs/a', false],
  [['docs', '!docs/a'], 'docs/b', true],
  [['a/../b'], 'b', true],
  [['# no comment here'], 'x', false],
  [['.'], 'anything', false],
];
for (const [rules, path, excluded] of RULES)
  test(`${JSON.stringify(rules)} ${excluded ? 'leaves out' : 'keeps'} ${path}`, () => {
    assert.equal(new IgnoreRules(rules).excludes(path), excluded);
  });

test('an exception below keeps an excluded directory in view', () => {
  assert.equal(new IgnoreRules(['docs', '!docs/a']).mayIncludeBelow('docs'), true);
  assert.equal(new IgnoreRules(['docs', '!src']).mayIncludeBelow('docs'), false);
  assert.equal(new IgnoreRules(['docs']).mayIncludeBelow('docs'), false);
});

test.run();
