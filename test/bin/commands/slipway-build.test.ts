import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { slipway } from '../../../bin/slipway.ts';
import type { BuildEvent } from '../../../build/exec/events.ts';
import { runCaptured } from '../../support/tool.ts';

const test = suite('slipway build');
const base = mkdtempSync(join(tmpdir(), 'slipway-build-'));
process.on('exit', () => rmSync(base, { recursive: true, force: true }));
const isRoot = process.geteuid?.() === 0;
const onlyRoot = isRoot ? test : test.skip;
if (!isRoot) console.log('SKIP slipway build: overlay storage needs root here');

const context = join(base, 'context');
const policy = join(base, 'policy.json');
mkdirSync(join(context, 'src'), { recursive: true });
mkdirSync(join(base, 'tmp'));
writeFileSync(policy, '{"default":[{"type":"insecureAcceptAnything"}]}');
writeFileSync(
  join(context, 'Containerfile'),
  'FROM scratch AS a\nCOPY src /a\nFROM scratch AS b\nCOPY src /b\nFROM scratch\nCOPY --from=a /a /a\nCOPY --from=b /b /b\n',
);

function run(...words: string[]) {
  const [command = '', ...rest] = words;
  const storage = [
    '--root',
    join(base, 'root'),
    '--runroot',
    join(base, 'run'),
    '--storage-driver',
    'overlay',
  ];
  const environment = {
    HOME: base,
    XDG_CACHE_HOME: join(base, 'cache'),
    TMPDIR: join(base, 'tmp'),
    PATH: process.env.PATH,
  };
  return runCaptured(slipway, [...storage, command, ...rest], { environment, workingDirectory: context });
}

const build = (...words: string[]) =>
  run('build', '--signature-policy', policy, '--isolation', 'chroot', ...words);

onlyRoot('prints the image id on stdout and events on stderr, and nothing else', async () => {
  writeFileSync(join(context, 'src/f'), 'one');
  const { code, stdout, stderr } = await build('--progress', 'json', '-t', 'app', '.');
  equal(code, 0, stderr);
  match(stdout, /^[0-9a-f]{64}\n$/);
  const events = stderr
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as BuildEvent);
  equal(events[0]?.type, 'build-started');
  const done = events.at(-1);
  ok(done?.type === 'build-done');
  equal(`${done.imageId}\n`, stdout);
  deepEqual(done.names, ['localhost/app:latest']);
});

onlyRoot('keeps steps, marks the lines of stages, and says why a step was built', async () => {
  const again = await build('.');
  equal(again.stderr.match(/^\[\d\/3\] --> Using cache/gm)?.length, 4);
  writeFileSync(join(context, 'src/f'), 'two');
  writeFileSync(join(context, 'src/g'), '');
  const report = join(base, 'report.html');
  const { stdout, stderr } = await build('--explain', '--report', report, '.');
  match(stdout, /^[0-9a-f]{64}\n$/);
  match(stderr, /\[a\] step 2: COPY src \/a\n {4}changed: src\/f \(content\)\n {4}added: src\/g\n/);
  const page = readFileSync(report, 'utf8');
  match(page, /changed: src\/f \(content\)/);
  match(page, /<svg class="graph"/);
  const why = await run('why', '.');
  match(why.stdout, /\[b\] step 2: COPY src \/b\n {6}changed: src\/f \(content\)\n/);
  const [first] = JSON.parse((await run('why', '--json', '.')).stdout) as {
    steps: { reasons: string[] }[];
  }[];
  deepEqual(first?.steps[0]?.reasons, ['changed: src/f (content)', 'added: src/g']);
});

onlyRoot('a failure is an event with its code, the report and the exit code stay', async () => {
  writeFileSync(join(context, 'Bad'), 'FROM scratch\nCOPY missing /\n');
  const report = join(base, 'bad.html');
  const { code, stdout, stderr } = await build('-f', 'Bad', '--progress', 'json', '--report', report, '.');
  ok(code !== 0);
  equal(stdout, '');
  const last = JSON.parse(stderr.trimEnd().split('\n').at(-1) as string) as Record<string, unknown>;
  deepEqual([last.type, last.code], ['error', 'missing-file']);
  match(readFileSync(report, 'utf8'), /<dt>Failed<\/dt>/);
});

onlyRoot('verify-repro names what differs, and passes with pinned dates; no image is left', async () => {
  const before = (await run('build', '--signature-policy', policy, '-q', '.')).stdout;
  const words = ['verify-repro', '--signature-policy', policy, '--isolation', 'chroot'];
  const loose = await run(...words, '.');
  equal(loose.code, 1, loose.stderr);
  match(loose.stdout, /layer 1 \(.*COPY.*\): \/.*: mtime\n {4}first: {2}\S+Z\n {4}second: \S+Z\n/);
  const pinned = await run(...words, '--source-date-epoch', '0', '--rewrite-timestamp', '.');
  equal(pinned.code, 0, pinned.stdout);
  match(pinned.stdout, /both builds gave sha256:[0-9a-f]{64}\n/);
  equal((await run('build', '--signature-policy', policy, '-q', '.')).stdout, before);
});

onlyRoot('an unknown way to show progress, and a context that was never built, are one line', async () => {
  match(
    (await build('--progress', 'fancy', '.')).stderr,
    /^slipway: invalid value "fancy" for --progress .*\n$/,
  );
  match((await run('why', '/')).stderr, /^slipway: no build of \/ is known .*\n$/);
});

onlyRoot(
  'a report that cannot be written is told before the build, or beside what the build failed with',
  async () => {
    for (const path of ['none/report.html', '.']) {
      const { code, stdout, stderr } = await build('--report', path, '.');
      equal(code, 1);
      equal(stdout, '');
      match(stderr, /^slipway: --report: \w+ \S+: (no such file or directory|is a directory)\n$/);
    }
    const dash = await build('--report', '-', '.');
    deepEqual([dash.code, dash.stderr], [1, 'slipway: --report: stdout has the image id; name a file\n']);
    const late = await build('--report', '/dev/full', '.');
    equal(late.code, 1);
    match(late.stdout, /^[0-9a-f]{64}\n$/);
    match(late.stderr, /\nslipway: writing the report: write \/dev\/full: no space left on device\n$/);
    writeFileSync(join(context, 'Failing'), 'FROM scratch\nCOPY nothing /\n');
    const failed = await build('--report', '/dev/full', '-f', 'Failing', '.');
    match(
      failed.stderr,
      /\nwarning: writing the report: write \/dev\/full: no space[^\n]*\nslipway: building at STEP "COPY nothing \/": /,
    );
    const asJson = await build('--progress', 'json', '--report', '/dev/full', '-f', 'Failing', '.');
    const types = asJson.stderr
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { type: string }).type);
    deepEqual(types.slice(-3), ['build-failed', 'warning', 'error']);
  },
);

test.run();
