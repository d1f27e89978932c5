import { deepEqual } from 'node:assert/strict';
import { createRequire } from 'node:module';
import { suite } from 'uvu';
import { IgnoreRules } from '../../../build/add/pattern.ts';

/** A CommonJS package whose types name a default export that it does not have. */
const ignore = createRequire(import.meta.url)('@balena/dockerignore') as () => {
  add(patterns: string[]): { ignores(path: string): boolean };
};

const PATHS = [
  'a',
  'a/b',
  'a/b/c.md',
  'README.md',
  'docs/README.md',
  'docs/x.txt',
  'src/main.ts',
  'src/deep/main.test.ts',
  'tmp',
  'tmp/x',
  '.git/config',
  'node_modules/p/index.js',
  'b c',
  'dir/sub/file',
];
const RULES: readonly (readonly string[])[] = [
  ['*.md'],
  ['**/*.md'],
  ['**/*.md', '!docs/README.md'],
  ['a'],
  ['a/*'],
  ['a/**', '!a/b'],
  ['*', '!src'],
  ['*', '!src/*'],
  ['/tmp'],
  ['tmp/'],
  ['./src/deep'],
  ['src/d?ep'],
  ['[rR]EADME.*'],
  ['# comment', '', 'b c'],
  ['**', '!dir/sub'],
  ['docs', '!docs/x.txt'],
  ['**/main*.ts'],
  ['.git', 'node_modules'],
];

const test = suite('ignore rules beside @balena/dockerignore');
for (const rules of RULES) {
  test(rules.join(' , '), () => {
    const theirs = ignore().add([...rules]);
    const ours = new IgnoreRules(rules);
    deepEqual(
      PATHS.filter((path) => ours.excludes(path)),
      PATHS.filter((path) => theirs.ignores(path)),
    );
  });
}
test.run();
