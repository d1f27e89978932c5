import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { buildah } from '../../../bin/buildah.ts';
import { slipway } from '../../../bin/slipway.ts';
import { runCaptured, type ToolRun } from '../../support/tool.ts';

const test = suite('slipway lint and build --check');
const place = mkdtempSync(join(tmpdir(), 'slipway-lint-'));
const context = join(place, 'context');
const CLEAN = 'FROM scratch\nCOPY a /\n';
const store = ['--root', join(place, 'root'), '--runroot', join(place, 'run')];
test.before.each(() => {
  rmSync(context, { recursive: true, force: true });
  mkdirSync(context);
});
test.after(() => rmSync(place, { recursive: true, force: true }));

function write(text: string, name = 'Containerfile'): void {
  writeFileSync(join(context, name), text);
}

const run = (tool: typeof slipway, ...words: readonly string[]): Promise<ToolRun> =>
  runCaptured(tool, [...store, ...words], { environment: { HOME: place }, workingDirectory: context });
const lint = (...words: readonly string[]) => run(slipway, 'lint', '--offline', ...words);
const check = (...words: readonly string[]) => run(buildah, 'build', '--check', '--pull=never', ...words);

test('a clean file ends with 0, findings and errors with 1', async () => {
  write(CLEAN);
  equal((await lint('.')).code, 0);
  equal((await check('.')).code, 0);
  write('FROM scratch\nCMD x\n');
  equal((await lint('.')).code, 1);
  const checked = await check('.');
  equal(checked.code, 1);
  match(checked.stdout, /^Containerfile:2: JSONArgsRecommended: /);
  match(checked.stdout, /^0 errors, 1 finding$/m);
  write('FORM scratch\n');
  const broken = await lint('.');
  equal(broken.code, 1);
  match(broken.stdout, /^Containerfile:1: unknown instruction: FORM \(did you mean FROM\?\)/);
});

test('build --check builds nothing', async () => {
  write(CLEAN);
  equal((await check('-t', 'localhost/x', '.')).code, 0);
  equal((await run(buildah, 'images', '-q')).stdout, '');
});

test('a file, a directory, -f and the ignore file beside it', async () => {
  write('FROM scratch\nCOPY a b /d/\n');
  write('a\n', 'Containerfile.dockerignore');
  for (const words of [['.'], ['Containerfile'], ['-f', 'Containerfile', '.'], []]) {
    const { stdout, code } = await lint(...words);
    equal(code, 1);
    match(stdout, /CopyIgnoredFile: COPY names a,/);
  }
  write('b\n', 'other');
  match((await lint('--ignorefile', join(context, 'other'))).stdout, /COPY names b,/);
});

test('arguments, targets and contexts of the command line count', async () => {
  write('ARG TAG\nFROM img:$TAG AS one\nCMD x\nFROM ctx\nFROM scratch AS two\n');
  match((await lint()).stdout, /InvalidDefaultArgInFrom/);
  const target = await lint('--build-arg', 'TAG=1', '--target', 'two');
  ok(!target.stdout.includes('JSONArgsRecommended'), target.stdout);
  const named = await lint('--build-arg', 'TAG=1', '--build-context', 'ctx=.');
  match(named.stdout, /left out: img:1$/m);
});

test('base images in local storage are known', async () => {
  write('FROM scratch\nENV THERE=1\nSHELL ["/sh"]\n', 'base');
  equal(
    (await run(buildah, 'build', '-q', '-t', 'localhost/b', '--format', 'docker', '-f', 'base', '.')).code,
    0,
  );
  write('FROM localhost/b\nCOPY $THERE $NOWHERE /\nCMD x\n');
  const { stdout } = await check('.');
  match(stdout, /^Containerfile:2: UndefinedVar: COPY uses \$NOWHERE/m);
  match(stdout, /^0 errors, 1 finding$/m);
  match((await lint('--platform', 'linux/s390x')).stdout, /InvalidBaseImagePlatform/);
});

test('--format json is one document', async () => {
  write('# check=error=true\nFROM scratch AS A\nRUN --security=insecure x\n');
  const { stdout, code } = await lint('--format', 'json');
  equal(code, 1);
  const report = JSON.parse(stdout);
  equal(report.findingsFailBuilds, true);
  deepEqual(
    report.findings.map(({ rule, file, line }: Record<string, unknown>) => [rule, file, line]),
    [['StageNameCasing', 'Containerfile', 2]],
  );
  deepEqual(
    report.builders.map(({ builder, builds }: Record<string, unknown>) => [builder, builds]),
    [
      ['buildah', 'no'],
      ['buildkit', 'yes'],
      ['slipway', 'yes'],
    ],
  );
  const bad = await lint('--format', 'xml');
  equal(bad.code, 1);
  match(bad.stderr, /choose plain or json/);
});

test.run();
