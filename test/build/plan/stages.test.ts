import { deepEqual, equal, throws } from 'node:assert/strict';
import { suite } from 'uvu';
import { parseContainerfile } from '../../../build/parse/parse.ts';
import { applyInstruction } from '../../../build/plan/apply.ts';
import { platformArguments } from '../../../build/plan/arguments.ts';
import { stageGraph } from '../../../build/plan/graph.ts';
import { newStageState, splitStages, throughTarget } from '../../../build/plan/stages.ts';

const test = suite('stages');
const AMD64 = { os: 'linux', architecture: 'amd64' };
const ARM64 = { os: 'linux', architecture: 'arm64', variant: 'v8' };

function plan(text: string, given: Record<string, string> = {}, contexts: readonly string[] = []) {
  const options = {
    arguments: new Map(Object.entries(given)),
    builtins: platformArguments(ARM64, AMD64, 'final'),
  };
  const stages = splitStages([parseContainerfile(text, { file: 'f' })], options);
  return { options, stages, graph: stageGraph(stages, new Set(contexts), options) };
}

/** The state after the last stage's metadata instructions. */
function lastState(text: string, given: Record<string, string> = {}, image = {}) {
  const { stages, options } = plan(text, given);
  const stage = stages.at(-1);
  if (!stage) throw new Error('no stage');
  const state = newStageState(stage, options, []);
  state.startFrom(image, { inheritLabels: true });
  const effects = stage.instructions.map((instruction) => applyInstruction(state, instruction, stage.escape));
  return { state, effects };
}

const BASES: readonly [text: string, given: Record<string, string>, bases: string[]][] = [
  ['ARG V=1\nFROM a:$V\nFROM b:${V:-2}', {}, ['a:1', 'b:1']],
  ['ARG V=1\nFROM a:$V', { V: '9' }, ['a:9']],
  ['ARG V\nFROM a:${V:-3}', {}, ['a:3']],
  ['ARG V=1\nARG W=$V.2\nFROM a:$W', {}, ['a:1.2']],
  ['ARG A B=2 C=$B\nFROM x:$C', {}, ['x:2']],
  ['FROM x-$TARGETARCH-$BUILDARCH', {}, ['x-arm64-amd64']],
  ['ARG TARGETARCH=other\nFROM x-$TARGETARCH', {}, ['x-arm64']],
  ['ARG V=1\nFROM a AS s$V\nFROM s1', {}, ['a', 's1']],
];

test('bases', () => {
  for (const [text, given, bases] of BASES)
    deepEqual(
      plan(text, given).stages.map((stage) => stage.base),
      bases,
      text,
    );
});

const GRAPHS: readonly [name: string, text: string, needed: number[], needs: number[][]][] = [
  ['unneeded stages', 'FROM a AS x\nFROM b AS y\nFROM c\nCOPY --from=x / /', [0, 2], [[], [], [0]]],
  ['by index', 'FROM a\nFROM b\nCOPY --from=0 / /', [0, 1], [[], [0]]],
  ['mounts', 'FROM a AS x\nFROM b\nRUN --mount=type=bind,from=x,target=/m y', [0, 1], [[], [0]]],
  ['base', 'FROM a AS x\nFROM x AS y\nFROM y', [0, 1, 2], [[], [0], [1]]],
  ['after', 'FROM a AS x\nFROM --after=x b', [0, 1], [[], [0]]],
  [
    'later stage',
    'FROM a\nCOPY --from=z / /\nFROM b AS z\nFROM c\nCOPY --from=0 / /',
    [0, 1, 2],
    [[1], [], [0]],
  ],
  ['name case', 'FROM a AS Build\nFROM b\nCOPY --from=build / /', [0, 1], [[], [0]]],
  ['variables', 'FROM a AS x\nFROM b\nARG S=x\nCOPY --from=$S / /', [0, 1], [[], [0]]],
  ['itself is an image', 'FROM a\nFROM b AS b\nCOPY --from=b / /', [1], [[], []]],
  ['last of a name', 'FROM a AS x\nFROM b AS x\nFROM x', [1, 2], [[], [], [1]]],
];

for (const [name, text, needed, needs] of GRAPHS)
  test(`graph: ${name}`, () => {
    const { graph } = plan(text);
    deepEqual([...graph.needed].sort(), needed);
    deepEqual(
      graph.needs.map((need) => [...need.all].sort()),
      needs,
    );
  });

test('the values of this build beat defaults, and what the user gives beats both', () => {
  const value = (given: Record<string, string>) =>
    lastState('FROM a\nARG TARGETARCH=other', given).state.arguments.get('TARGETARCH');
  equal(value({}), 'arm64');
  equal(value({ TARGETARCH: 'mine' }), 'mine');
});

test('contexts hide stages', () => {
  const { graph } = plan('FROM a AS x\nFROM b\nCOPY --from=x / /', {}, ['x']);
  deepEqual([...graph.needed], [1]);
});

test('targets', () => {
  const { stages } = plan('FROM a AS x\nFROM b AS y\nFROM c');
  equal(throughTarget(stages, 'x').length, 1);
  equal(throughTarget(stages, '1').length, 2);
  throws(() => throughTarget(stages, 'xx'), /target "xx" was not found/);
});

test('arguments', () => {
  const { state } = lastState(
    'ARG G=1\nFROM a\nARG G\nARG L=$G$G\nARG U=def\nARG TARGETPLATFORM\nARG TARGETSTAGE\nENV E=$L-$TARGETPLATFORM-$TARGETSTAGE',
    {
      U: 'user',
      X: 'undeclared',
    },
  );
  deepEqual(state.config.Env.at(-1), 'E=11-linux/arm64/v8-final');
  deepEqual(
    state.visibleArguments().filter((entry) => /^[GLUX]=/.test(entry)),
    ['U=user', 'G=1', 'L=11'],
  );
});

test('arguments of stages below are inherited', () => {
  const { state } = lastState('FROM a AS b\nARG X=1\nFROM b\nENV Y=$X');
  deepEqual(state.config.Env.at(-1), 'Y=1');
});

test('SECURITY B16: image variables without name or value are dropped', () => {
  const { state } = lastState('FROM a', {}, { Env: ['SENTINEL', 'AWS*', '*', '=x', 'A=b'] });
  deepEqual(
    state.imageEnvironment().filter((entry) => !entry.startsWith('PATH=')),
    ['A=b'],
  );
});

test('SECURITY: an argument cannot inject instructions', () => {
  const { state, effects } = lastState('FROM a\nARG X\nENV Y=$X\nLABEL l=$X\nCOPY $X /d/', {
    X: 'v\nRUN touch /injected',
  });
  equal(state.config.Env.at(-1), 'Y=v\nRUN touch /injected');
  equal(effects.filter((effect) => effect.run).length, 0);
  deepEqual(effects.at(-1)?.copy?.sources, ['v\nRUN touch /injected']);
});

test('configuration', () => {
  const { state } = lastState(
    'FROM a\nENV P=8 Q="1 2"\nEXPOSE $P 9/udp $Q\nWORKDIR /w\nWORKDIR x/../y\nUSER u$P\nVOLUME /v$P\nCMD a b\nENTRYPOINT ["e"]\nSTOPSIGNAL TERM\nLABEL a=1 a=2\nHEALTHCHECK --retries=2 CMD x\nONBUILD RUN y\nMAINTAINER me',
    {},
    { Cmd: ['old'], Labels: { base: '1' } },
  );
  const { config } = state;
  deepEqual(Object.keys(config.ExposedPorts), ['8/tcp', '9/udp', '1/tcp', '2/tcp']);
  equal(config.WorkingDir, '/w/y');
  equal(config.User, 'u8');
  deepEqual(config.Volumes, { '/v8': {} });
  deepEqual(config.Cmd, ['/bin/sh', '-c', 'a b']);
  deepEqual(config.Entrypoint, ['e']);
  deepEqual(config.Labels, { base: '1', a: '2' });
  deepEqual(config.Healthcheck, { Test: ['CMD-SHELL', 'x'], Retries: 2 });
  deepEqual(config.OnBuild, ['RUN y']);
  equal(state.author, 'me');
});

const VALUES: readonly [instruction: string, expected: unknown][] = [
  ['STOPSIGNAL SIGINFO', { StopSignal: 'SIGINFO' }],
  ['STOPSIGNAL +9', { StopSignal: '+9' }],
  ['STOPSIGNAL -1', { StopSignal: '-1' }],
  ['WORKDIR ///x//', { WorkingDir: '///x/' }],
  ['WORKDIR /x/', { WorkingDir: '/x' }],
  ['EXPOSE 80/ 81/udp/tcp', { ExposedPorts: { '80/tcp': {}, '81/udp': {} } }],
];

test('odd values', () => {
  for (const [instruction, expected] of VALUES) {
    const config: Record<string, unknown> = { ...lastState(`FROM a\n${instruction}`).state.config };
    for (const [name, value] of Object.entries(expected as object))
      deepEqual(config[name], value, instruction);
  }
});

test('a default of TARGETPLATFORM counts, one of TARGETARCH does not', () => {
  const { state } = lastState('FROM a\nARG TARGETPLATFORM=x TARGETARCH=y\nENV E=$TARGETPLATFORM-$TARGETARCH');
  deepEqual(state.config.Env.at(-1), 'E=x-arm64');
});

test('an entrypoint drops the base image command unless CMD was set', () => {
  equal(lastState('FROM a\nENTRYPOINT x', {}, { Cmd: ['old'] }).state.config.Cmd, null);
  deepEqual(lastState('FROM a\nCMD ["c"]\nENTRYPOINT x').state.config.Cmd, ['c']);
});

test.run();
