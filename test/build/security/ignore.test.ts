// Ignore files that are large, strange or meant for backtracking (SECURITY section 4, contexts; B13 is beside buildImage).
import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { IgnoreRules } from '../../../build/add/pattern.ts';
import { parseIgnore, readIgnoreFile } from '../../../build/exec/ignore-file.ts';
import { openBuildPlace } from '../../support/build-place.ts';

const test = suite('SECURITY: ignore files');
/** Far above what is needed, far below what backtracking takes. */
const LIMIT_MS = 20_000;
const place = mkdtempSync(join(tmpdir(), 'slipway-security-ignore-'));
test.after(() => rmSync(place, { recursive: true, force: true }));

const HARD: readonly (readonly [pattern: string, path: string, excluded: boolean])[] = [
  [`${'**/'.repeat(200)}x`, `${'a/'.repeat(300)}y`, false],
  [`${'**/'.repeat(200)}x`, `${'a/'.repeat(300)}x`, true],
  [`${'*a'.repeat(200)}b`, 'a'.repeat(5000), false],
  [`${'a*'.repeat(13)}b`, 'a'.repeat(26), false],
  [`${'?'.repeat(2000)}b`, 'a'.repeat(4000), false],
  [`${'[a-z]*'.repeat(100)}9`, 'a'.repeat(3000), false],
  [`${'*/'.repeat(100)}x`, `${'a/'.repeat(5000)}y`, false],
];
for (const [pattern, path, excluded] of HARD)
  test(`${pattern.slice(0, 20)}… against ${path.length} characters is decided at once`, () => {
    const started = performance.now();
    equal(new IgnoreRules([pattern]).excludes(path), excluded);
    ok(performance.now() - started < LIMIT_MS);
  });

test('100,000 rules are read and asked in time', () => {
  const text = Array.from(
    { length: 100_000 },
    (_, index) => `${index % 3 ? '' : '!'}dir${index}/**/*.o`,
  ).join('\n');
  const started = performance.now();
  const rules = new IgnoreRules(parseIgnore(text));
  for (let index = 0; index < 20; index += 1) rules.excludes(`dir${index}/a/b/c.o`);
  ok(performance.now() - started < LIMIT_MS);
});

test('spaces, comments, slashes and byte order marks around rules mean nothing', () => {
  deepEqual(parseIgnore('\uFEFFa \n  b\t\n#c\n\n/d/\r\n !e \n'), ['a', 'b', 'd', '!e']);
  const rules = new IgnoreRules(parseIgnore('docs\n!docs/keep\n*.md \n!README.md\n\\#odd\n'));
  for (const [path, excluded] of [
    ['docs/x', true],
    ['docs/keep', false],
    ['docs/keep/deep', false],
    ['a.md', true],
    ['README.md', false],
    ['#odd', true],
    ['sub/a.md', false],
  ] as const)
    equal(rules.excludes(path), excluded, path);
});

test('a pattern that does not end is an error that shows it', () => {
  for (const pattern of ['a[', 'a\\', '[a-'])
    throws(
      () => new IgnoreRules([pattern]),
      (error) => String(error).includes(JSON.stringify(pattern)),
    );
});

test('an ignore file of 100 MB is refused before it is read', () => {
  const context = join(place, 'large');
  mkdirSync(context);
  writeFileSync(join(context, '.dockerignore'), '');
  truncateSync(join(context, '.dockerignore'), 100 * 1024 * 1024);
  throws(() => readIgnoreFile(context, {}), { code: 'bad-context' });
});

test('what is excluded is neither copied nor looked into, whatever its name is', async () => {
  const context = join(place, 'context');
  mkdirSync(join(context, 'deep/er'), { recursive: true });
  writeFileSync(join(context, '.containerignore'), '**\n!kept*\n!deep/er/kept\n');
  for (const name of ['kept1', 'left', 'deep/left', 'deep/er/kept', 'deep/er/left'])
    writeFileSync(join(context, name), name);
  writeFileSync(Buffer.concat([Buffer.from(`${context}/kept`), Buffer.from([0xff])]), 'odd name');
  mkdirSync(join(place, 'store'));
  const { build, withStore } = openBuildPlace(join(place, 'store'), context);
  const { result } = await build('FROM scratch\nCOPY . /\n');
  const names = await withStore(async (store) => {
    const image = await store.images.get(result.imageId);
    const directory = await store.layers.diffDirectory(image?.topLayer ?? '');
    const { readdirSync } = await import('node:fs');
    return readdirSync(directory, { recursive: true, encoding: 'latin1' }).sort();
  });
  deepEqual(names, ['deep', 'deep/er', 'deep/er/kept', 'kept1', 'kept\xff']);
});

test.run();
