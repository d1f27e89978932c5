import { deepEqual, equal, ok } from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import type { StepInputs } from '../../../build/exec/step-inputs.ts';
import { explain } from '../../../build/record/explain.ts';
import { findRecord, keepRecord, recordsOf } from '../../../build/record/keep.ts';
import type { BuildRecord } from '../../../build/record/record.ts';

const test = suite('build records');
const base = mkdtempSync(join(tmpdir(), 'build-records-'));
process.on('exit', () => rmSync(base, { recursive: true, force: true }));

const step = (number: number, text: string, more: Partial<StepInputs> = {}): StepInputs => ({
  stage: 0,
  stageName: 'app',
  step: number,
  text,
  isCached: false,
  arguments: [],
  mounts: [],
  others: [],
  files: [],
  ...more,
});
const record = (steps: readonly StepInputs[], target = ''): BuildRecord => ({
  version: 2,
  identity: { context: '/context', files: ['Containerfile'], target, platform: 'linux/amd64' },
  startedAt: '2026-01-01T00:00:00.000Z',
  imageId: 'a',
  steps,
});
const FILES = [
  ['src/a', 'file 644 0:0 1 aa'],
  ['src/b', 'file 644 0:0 1 bb'],
  ['src/c', 'file 644 0:0 1 cc'],
] as const;

for (const [name, before, after, reasons] of [
  [
    'files',
    step(2, 'COPY src /', { files: FILES }),
    step(2, 'COPY src /', {
      files: [['src/a', 'file 755 0:0 2 ab'], FILES[1], ['src/d', 'file 644 0:0 1 dd']],
    }),
    ['changed: src/a (mode, content)', 'added: src/d', 'removed: src/c'],
  ],
  [
    'arguments',
    step(2, 'RUN x', {
      arguments: [
        ['A', '1'],
        ['B', '1'],
      ],
    }),
    step(2, 'RUN x', {
      arguments: [
        ['A', '2'],
        ['C', '1'],
      ],
    }),
    ['the argument C is new', 'the argument A changed', 'the argument B is gone'],
  ],
  [
    'mounts',
    step(2, 'RUN x', { mounts: [['target=/s', '1']] }),
    step(2, 'RUN x', { mounts: [['target=/s', '2']] }),
    ['what the mount target=/s shows changed'],
  ],
  ['text', step(2, 'RUN x'), step(2, 'RUN y'), ['the instruction changed: it was RUN x']],
  [
    'a new stage',
    undefined,
    step(2, 'RUN y'),
    ['the stage was not built, or had another name, in the build before'],
  ],
  [
    'nothing',
    step(2, 'RUN x'),
    step(2, 'RUN x'),
    ['none of its inputs changed: no image that was there had its history and configuration'],
  ],
  ['a failure', step(2, 'RUN x', { hasFailed: true }), step(2, 'RUN x'), ['it failed in the build before']],
  [
    'a base image',
    step(1, 'FROM alpine', { baseImage: 'a'.repeat(64) }),
    step(1, 'FROM alpine', { baseImage: 'b'.repeat(64), isCached: true }),
    ['the base image changed: aaaaaaaaaaaa is now bbbbbbbbbbbb'],
  ],
] as const)
  test(`names what changed: ${name}`, () => {
    const [explanation] = explain([after], record(before ? [before] : []), () => false);
    deepEqual(explanation?.reasons, reasons);
  });

test('what stands on a changed step says so, and what was cached says nothing', () => {
  const before = [step(2, 'COPY src /', { files: FILES }), step(3, 'RUN x'), step(4, 'RUN y')];
  const after = [
    step(2, 'COPY src /', { files: FILES.slice(1) }),
    step(3, 'RUN x', { isCached: true }),
    step(4, 'RUN y'),
  ];
  deepEqual(
    explain(after, record(before), () => true).map(({ step: number, reasons }) => [number, reasons]),
    [
      [2, ['removed: src/a']],
      [4, ['it stands on step 2, which changed']],
    ],
  );
});

test('what a failed build did not reach is not called new', () => {
  const failed = { ...record([step(2, 'RUN x', { hasFailed: true })]), imageId: '' };
  deepEqual(
    explain([step(2, 'RUN x'), step(3, 'RUN y')], failed, () => true).map(({ reasons }) => reasons),
    [
      ['it failed in the build before'],
      ['the build before failed and did not reach it', 'it stands on step 2, which changed'],
    ],
  );
});

test('attributes of a file are told from its bytes', () => {
  const state = (rest: string) => [step(2, 'COPY f /', { files: [['f', `file 644 0:0 ${rest}`]] })];
  const reasons = (rest: string) => explain(state(rest), record(state('1 aa -')), () => true)[0]?.reasons;
  deepEqual(reasons('1 bb cc'), ['changed: f (attributes, perhaps content)']);
  deepEqual(reasons('2 bb cc'), ['changed: f (content, attributes)']);
});

test('many files are counted', () => {
  const files = Array.from({ length: 25 }, (_, at) => [`f${at}`, 'x'] as const);
  const [explanation] = explain([step(2, 'COPY . /', { files })], record([step(2, 'COPY . /')]), () => true);
  equal(explanation?.reasons.length, 11);
  equal(explanation?.reasons.at(-1), 'added: 15 more');
});

test('records are found by their identity, and a damaged one is none', () => {
  const directory = join(base, 'records');
  const kept = record([step(2, 'RUN x')]);
  keepRecord(directory, kept);
  deepEqual(findRecord(directory, kept.identity), kept);
  equal(findRecord(directory, { ...kept.identity, platform: 'linux/arm64' }), undefined);
  keepRecord(directory, { ...record([], 'other'), startedAt: '2027-01-01T00:00:00.000Z' });
  deepEqual(
    recordsOf(directory, '/context').map(({ identity }) => identity.target),
    ['other', ''],
  );
  deepEqual(recordsOf(directory, '/elsewhere'), []);
  for (const name of readdirSync(directory)) writeFileSync(join(directory, name), 'damaged');
  equal(findRecord(directory, kept.identity), undefined);
});

test('a limited number of records is kept', () => {
  const directory = join(base, 'many');
  for (let at = 0; at < 80; at += 1) keepRecord(directory, record([], `target${at}`));
  ok(readdirSync(directory).length <= 64);
  ok(findRecord(directory, record([], 'target79').identity));
});

test.run();
