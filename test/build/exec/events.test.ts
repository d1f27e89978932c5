import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import type { BuildEvent } from '../../../build/exec/events.ts';
import { openBuildPlace } from '../../support/build-place.ts';
import { makeRootfs } from '../../support/rootfs.ts';

const test = suite('build events');
const base = mkdtempSync(join(tmpdir(), 'build-events-'));
process.on('exit', () => rmSync(base, { recursive: true, force: true }));
const isRoot = process.geteuid?.() === 0;
const onlyRoot = isRoot ? test : test.skip;
if (!isRoot) console.log('SKIP build events: running RUN needs root here');

const context = join(base, 'context');
mkdirSync(context);
writeFileSync(join(context, 'f'), 'hello\n');
if (isRoot) makeRootfs(join(context, 'rootfs'), { commands: ['cat', 'sh', 'sleep'] });
const place = openBuildPlace(base, context);

const FILE = [
  'FROM scratch AS base',
  'COPY rootfs/ /',
  'FROM base AS unused',
  'RUN echo never',
  'FROM base AS one',
  'RUN echo from-one; echo error-one >&2',
  'FROM base',
  'COPY --from=one /etc/passwd /p',
  'RUN printf no-newline',
].join('\n');

const shape = (events: readonly BuildEvent[]) =>
  events
    .filter((event) => event.type.startsWith('step') || event.type.startsWith('stage'))
    .map(
      (event) =>
        `${event.type} ${'stage' in event ? event.stage : ''}${'step' in event ? `.${event.step}` : ''}`,
    );

onlyRoot('tells stages, steps, output and layers in order, and what was cached the second time', async () => {
  const events: BuildEvent[] = [];
  const first = await place.build(FILE, { onEvent: (event) => events.push(event) });
  deepEqual(shape(events), [
    'stage-skipped 1',
    'stage-started 0',
    'step-started 0.1',
    'step-done 0.1',
    'step-started 0.2',
    'step-done 0.2',
    'stage-done 0',
    'stage-started 2',
    'step-started 2.1',
    'step-done 2.1',
    'step-started 2.2',
    'step-done 2.2',
    'stage-done 2',
    'stage-started 3',
    'step-started 3.1',
    'step-done 3.1',
    'step-started 3.2',
    'step-done 3.2',
    'step-started 3.3',
    'step-done 3.3',
    'stage-done 3',
  ]);
  const output = events.filter((event) => event.type === 'output');
  deepEqual(output.map(({ stage, step, stream, text }) => [stage, step, stream, text]).sort(), [
    [2, 2, 'stderr', 'error-one\n'],
    [2, 2, 'stdout', 'from-one\n'],
    [3, 3, 'stdout', 'no-newline'],
  ]);
  const layers = events.filter((event) => event.type === 'image-committed');
  equal(layers.length, 4);
  ok(layers.every((event) => (event.layer?.sizeBytes ?? 0) > 0));
  const done = events.at(-1);
  ok(done?.type === 'build-done' && done.imageId === first.result.imageId);
  ok(events.every((event, at) => at === 0 || event.atMs >= (events[at - 1] as BuildEvent).atMs));

  const again: BuildEvent[] = [];
  const second = await place.build(FILE, { onEvent: (event) => again.push(event) });
  equal(second.result.imageId, first.result.imageId);
  equal(again.filter((event) => event.type === 'step-cached').length, 4);
});

onlyRoot('the plain lines are the same with and without a listener', async () => {
  const options = { useCache: false, layers: false, sourceDateEpochSeconds: 0, rewriteTimestamp: true };
  const [plain, heard] = [
    await place.build(FILE, options),
    await place.build(FILE, { ...options, onEvent: () => {} }),
  ];
  const lines = (text: string) => text.replaceAll(/[0-9a-f]{12,64}/g, 'ID');
  equal(lines(heard.text()), lines(plain.text()));
});

onlyRoot('a failing command is a failed step and a failed build', async () => {
  const events: BuildEvent[] = [];
  await rejects(
    place.build('FROM scratch\nCOPY rootfs/ /\nRUN exit 7', { onEvent: (event) => events.push(event) }),
  );
  const failed = events.find((event) => event.type === 'step-failed');
  ok(failed?.type === 'step-failed' && failed.exitCode === 7 && failed.step === 3);
  equal(events.at(-1)?.type, 'build-failed');
});

onlyRoot('lines of stages that run at once stand behind their mark, unfinished ones too', async () => {
  const text = `FROM scratch AS base
COPY rootfs/ /
FROM base AS a
RUN printf 'a1\\na2'
FROM base AS b
RUN printf 'b1\\nb2\\n'
FROM scratch
COPY --from=a /etc/group /a
COPY --from=b /etc/group /b`;
  const { text: out } = await place.build(text, { jobs: 2, prefixOutput: true, useCache: false });
  const lines = out().split('\n').filter(Boolean);
  const marked = lines.filter((line) => !/^\[\d\/4\] /.test(line));
  deepEqual(marked, []);
  deepEqual(lines.filter((line) => /^\[\d\/4\] [ab]\d$/.test(line)).sort(), [
    '[2/4] a1',
    '[2/4] a2',
    '[3/4] b1',
    '[3/4] b2',
  ]);
});

test.run();
