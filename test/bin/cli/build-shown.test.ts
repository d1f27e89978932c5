import { deepEqual, equal, ok } from 'node:assert/strict';
import { suite } from 'uvu';
import { LiveView } from '../../../bin/cli/build-live.ts';
import { buildReport } from '../../../bin/cli/build-report.ts';
import { ReportData } from '../../../bin/cli/build-report-data.ts';
import { fit, plainLine } from '../../../bin/cli/build-screen.ts';
import type { BuildEvent, BuildEventBody } from '../../../build/exec/events.ts';

const test = suite('how builds are shown');

const HOSTILE = '<script>alert(1)</script>"\' onload=x \u001b[2J\u202e';
const bodies = (text: string): BuildEventBody[] => [
  {
    type: 'build-started',
    platform: { os: 'linux', architecture: 'amd64' },
    startedAt: '2026-01-01T00:00:00Z',
    stages: [
      { stage: 0, name: text, base: text, needs: [], skipped: false },
      { stage: 1, name: 'b', base: 'scratch', needs: [0], skipped: false },
    ],
  },
  { type: 'step-started', stage: 0, step: 1, total: 2, text },
  { type: 'output', stage: 0, step: 1, stream: 'stdout', text: `one\ntwo ${text}\nthr` },
  { type: 'output', stage: 0, step: 1, stream: 'stdout', text: 'ee' },
  { type: 'step-failed', stage: 0, step: 1, message: text, exitCode: 7, durationMs: 1500 },
  { type: 'warning', text },
  { type: 'build-failed', message: text, durationMs: 2000 },
];
const events = (text: string): BuildEvent[] => bodies(text).map((body, at) => ({ ...body, atMs: at * 100 }));

test('SECURITY: nothing that a build says becomes markup in its report', () => {
  const data = new ReportData();
  for (const event of events(HOSTILE)) data.onEvent(event);
  data.addDetails({
    layers: [
      { id: 'x', sizeBytes: 5, createdBy: HOSTILE, fileCount: 1, files: [{ path: HOSTILE, sizeBytes: 5 }] },
    ],
    explanations: [{ stage: 0, stageName: HOSTILE, step: 1, text: HOSTILE, reasons: [HOSTILE] }],
  });
  const page = buildReport(data.builds, HOSTILE);
  equal(/<script/i.test(page), false);
  equal(/[\u001b\u202e]/.test(page), false);
  const tags = new Set([...page.matchAll(/<([a-z!][a-z0-9]*)/gi)].map((match) => match[1]));
  for (const tag of ['script', 'link', 'img', 'iframe', 'object']) equal(tags.has(tag), false);
  equal(/(?:src|href)=|https?:/.test(page), false, 'something is loaded from elsewhere');
  const attributes = page.replaceAll('&quot;', '').match(/ on[a-z]+="/g);
  equal(attributes, null);
});

test('a failed step stays on the screen with the end of its output, and nothing moves the cursor but the view', () => {
  const chunks: string[] = [];
  const view = new LiveView(
    { columns: 60, rows: 20, write: (chunk: string) => chunks.push(chunk) },
    { keepLines: false, nowMs: () => 0 },
  );
  for (const event of events(`\u001b[2J\u001b]0;x\u0007RUN x`)) view.onEvent(event);
  view.close();
  const text = chunks.join('');
  const stays = text.slice(text.lastIndexOf('\u001b[J') + 3);
  deepEqual(stays.replace('\u001b[?25h', '').split('\n'), [
    '!! [RUN x 1/2] RUN x failed after 1.5s',
    '   | one',
    '   | two RUN x',
    '   | three',
    '',
  ]);
  equal(text.includes('\u001b[2J'), false);
});

test('lines that stay keep their order and are whole', () => {
  const chunks: string[] = [];
  const view = new LiveView(
    { write: (chunk: string) => chunks.push(chunk) },
    { keepLines: true, nowMs: () => 0 },
  );
  view.stdout.write('STEP 1: FRO');
  view.stdout.write('M x\nhalf');
  view.messages.write(' line\n');
  view.stdout.write('last');
  view.close();
  const text = chunks.join('');
  equal(text.replaceAll(/\u001b\[[?0-9]*[A-Za-z]/g, ''), 'STEP 1: FROM x\nhalf line\nlast\n');
});

test('lines are cut to the columns of the terminal', () => {
  for (const [line, columns, expected] of [
    ['abcdef', 6, 'abcdef'],
    ['abcdef', 5, 'abcd…'],
    ['\u4f60\u597d\u4f60\u597d', 5, '\u4f60…'],
  ] as const)
    equal(fit(line, columns), expected);
  equal(plainLine('10%\r20%\r'), '20%');
  ok(!plainLine('\u001b[31mred\u001b[0m\u0007').includes('\u001b'));
});

test.run();
