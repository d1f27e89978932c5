import { deepEqual } from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import type { BuildOptions } from '../../../build/exec/options.ts';
import { BuildRecorder } from '../../../build/record/recorder.ts';
import { openBuildPlace } from '../../support/build-place.ts';

const test = suite('why steps were built');
const base = mkdtempSync(join(tmpdir(), 'why-'));
process.on('exit', () => rmSync(base, { recursive: true, force: true }));

const context = join(base, 'context');
const other = join(base, 'other');
const place = openBuildPlace(base, context);
let count = 0;

function freshContext(): void {
  for (const path of [context, other]) {
    rmSync(path, { recursive: true, force: true });
    mkdirSync(join(path, 'src/d'), { recursive: true });
    for (const name of ['src/a', 'src/b', 'f']) writeFileSync(join(path, name), name);
  }
  symlinkSync('a', join(context, 'src/l'));
}

async function build(directory: string, text: string, options: Partial<BuildOptions>) {
  const identity = { context, files: ['Containerfile'], target: '', platform: 'linux/amd64' };
  const now = () => new Date();
  const recorder = await place.withStore((store) => BuildRecorder.open(directory, identity, { store, now }));
  const { result } = await place.build(text, { ...options, onInputs: recorder.onInputs });
  const { explanations } = recorder.finish(result.imageId);
  return explanations?.map(({ stageName, step, reasons }) => [`${stageName} ${step}`, ...reasons]);
}

async function emptyStore(): Promise<void> {
  await place.withStore(async (store) => {
    for (const { id } of await store.images.list()) await store.deleteImage(id);
  });
}

interface Change {
  readonly text?: string;
  readonly options?: Partial<BuildOptions>;
  readonly files?: () => void;
}

const A = (value: string) => ({ arguments: new Map([['A', value]]) });
const write = (path: string) => () => writeFileSync(join(context, path), 'other');
const COPY = 'COPY src /s/\nLABEL a=1';
const STAGES = 'FROM scratch AS a\nCOPY src /\nFROM scratch AS b\nCOPY f /\nFROM a AS c\nCOPY --from=b f /g';
const ON_2 = 'it stands on step 2, which changed';

const CASES: readonly (readonly [
  name: string,
  text: string,
  change: Change,
  expected: readonly string[][],
])[] = [
  ['nothing', COPY, {}, []],
  [
    'content',
    COPY,
    { files: write('src/a') },
    [
      ['0 2', 'changed: src/a (content)'],
      ['0 3', ON_2],
    ],
  ],
  ['an unrelated file', COPY, { files: write('f') }, []],
  [
    'the mode of a file',
    'COPY src /s/',
    { files: () => chmodSync(join(context, 'src/a'), 0o700) },
    [['0 2', 'changed: src/a (mode)']],
  ],
  [
    'the mode of a directory',
    'COPY src /s/',
    { files: () => chmodSync(join(context, 'src/d'), 0o700) },
    [['0 2', 'changed: src/d (mode)']],
  ],
  [
    'the target of a link',
    'COPY src /s/',
    {
      files: () => {
        unlinkSync(join(context, 'src/l'));
        symlinkSync('b', join(context, 'src/l'));
      },
    },
    [['0 2', 'changed: src/l (target)']],
  ],
  [
    'files that came and went',
    'COPY src /s/',
    {
      files: () => {
        unlinkSync(join(context, 'src/a'));
        write('src/z')();
      },
    },
    [['0 2', 'added: src/z', 'removed: src/a']],
  ],
  [
    'an ignore file',
    'COPY src /s/',
    { files: () => writeFileSync(join(context, '.dockerignore'), 'src/a\n') },
    [['0 2', 'the ignore file .dockerignore is new', 'removed: src/a']],
  ],
  [
    'an ignore file without effect',
    'COPY src /s/',
    { files: () => writeFileSync(join(context, '.dockerignore'), 'nothing\n') },
    [],
  ],
  [
    'a named context',
    'COPY --from=n f /',
    { files: () => writeFileSync(join(other, 'f'), 'other') },
    [['0 2', 'changed: f (content)']],
  ],
  [
    'the body of a heredoc',
    'COPY <<EOF /h\none\ntwo\nEOF',
    { text: 'COPY <<EOF /h\none\n2\nEOF' },
    [['0 2', 'the heredoc EOF changed', 'changed: EOF (content)']],
  ],
  [
    'an argument, where it is used',
    'ARG A\nLABEL k=$A\nLABEL l=1',
    { options: A('2') },
    [
      ['0 3', 'the argument A changed'],
      ['0 4', 'it stands on step 3, which changed'],
    ],
  ],
  ['an argument that nothing uses', 'ARG A\nLABEL l=1', { options: A('2') }, []],
  [
    'an instruction',
    'ENV a=1\nLABEL l=1',
    { text: 'ENV a=2\nLABEL l=1' },
    [
      ['0 2', 'the instruction changed: it was ENV a=1'],
      ['0 3', ON_2],
    ],
  ],
  [
    'an instruction that was put in',
    'ENV a=1\nLABEL l=1',
    { text: 'ENV a=1\nUSER 1\nLABEL l=1' },
    [
      ['0 3', 'the instruction is new'],
      ['0 4', 'it stands on step 3, which changed'],
    ],
  ],
  [
    'an instruction that was taken out',
    'ENV a=1\nUSER 1\nLABEL l=1',
    { text: 'ENV a=1\nLABEL l=1' },
    [['0 3', 'the step before it is gone: USER 1']],
  ],
  [
    'stages',
    STAGES,
    { files: write('f') },
    [
      ['b 2', 'changed: f (content)'],
      ['c 2', 'changed: f (content)'],
    ],
  ],
  [
    'the stage below',
    STAGES,
    { files: write('src/a') },
    [
      ['a 2', 'changed: src/a (content)'],
      ['c 1', 'the stage that it stands on was built anew'],
      ['c 2', 'it stands on step 1, which changed'],
    ],
  ],
  ['a date', 'USER 1', { options: { timestampSeconds: 1 } }, [['0 2', '--timestamp is new']]],
  ['a date', 'USER 1', { options: { sourceDateEpochSeconds: 1 } }, [['0 2', '--source-date-epoch is new']]],
  ['an annotation', 'USER 1', { options: { annotations: ['a=b'] } }, [['0 2', '--annotation is new']]],
  ['a label', 'USER 1', { options: { labels: ['a=b'] } }, [['0 3', '--label is new']]],
  [
    'a variable',
    'USER 1',
    { options: { environment: ['a=b'] } },
    [
      ['0 2', '--env is new'],
      ['0 3', ON_2],
    ],
  ],
  ['a label taken out', 'USER 1', { options: { unsetLabels: ['a'] } }, [['0 2', '--unsetlabel is new']]],
  [
    'a variable taken out',
    'ENV a=1',
    { options: { unsetEnvironment: ['a'] } },
    [['0 2', '--unsetenv is new']],
  ],
  ['the format', 'USER 1', { options: { format: 'docker' } }, [['0 2', '--format changed']]],
  ['no identity', 'USER 1', { options: { identityLabel: false } }, [['0 2', '--identity-label is new']]],
  [
    'another builder',
    'USER 1',
    { options: { builderVersion: '9' } },
    [['0 2', 'the builder changed: it was 0']],
  ],
  [
    'no cache',
    'USER 1\nUSER 2',
    { options: { useCache: false } },
    [
      ['0 2', 'the cache was not used: --no-cache, or --cache-ttl of 0'],
      ['0 3', 'the cache was not used: --no-cache, or --cache-ttl of 0'],
    ],
  ],
  [
    'an old image',
    'USER 1\nUSER 2',
    { options: { cacheTtlMs: -1 } },
    [
      ['0 2', 'the image of an earlier build is older than --cache-ttl allows'],
      ['0 3', ON_2],
    ],
  ],
];

for (const [name, text, change, expected] of CASES)
  test(`what changed is named: ${name}`, async () => {
    count += 1;
    const directory = join(base, `records${count}`);
    const full = (body: string) => (body.startsWith('FROM') ? body : `FROM scratch\n${body}`);
    const options = {
      ...A('1'),
      contexts: new Map([['n', { kind: 'directory' as const, path: other }]]),
      layerLabels: [],
    };
    freshContext();
    await build(directory, full(text), { ...options, useCache: false });
    change.files?.();
    deepEqual(await build(directory, full(change.text ?? text), { ...options, ...change.options }), expected);
    await emptyStore();
  });

test('an image that is gone is named as the cause', async () => {
  freshContext();
  const directory = join(base, 'gone');
  await build(directory, 'FROM scratch\nUSER 1', {});
  await emptyStore();
  deepEqual(await build(directory, 'FROM scratch\nUSER 1', {}), [
    ['0 2', 'none of its inputs changed: the image of the build before is gone'],
  ]);
});

test.run();
