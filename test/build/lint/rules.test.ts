import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { suite } from 'uvu';
import { BuildError } from '../../../build/error.ts';
import { baseImages, type LintOptions, lintContainerfiles } from '../../../build/lint/lint.ts';
import { RULES } from '../../../build/lint/rules.ts';

const test = suite('the rules of build checks');
const LINUX = { os: 'linux', architecture: 'amd64' };
const PLAIN: LintOptions = { platform: LINUX, buildPlatform: LINUX };

function report(text: string, options: Partial<LintOptions> = {}) {
  return lintContainerfiles([{ name: 'Containerfile', text }], { ...PLAIN, ...options });
}

const found = (text: string, options?: Partial<LintOptions>) =>
  report(text, options).findings.map(({ rule, position }) => `${position.line} ${rule}`);

/** Every rule: a file that breaks it, and one close to it that does not. */
const CASES: readonly [text: string, expected: readonly string[], options?: Partial<LintOptions>][] = [
  ['FROM scratch AS Web', ['1 StageNameCasing']],
  ['FROM scratch AS web', []],
  ['FROM scratch as web', ['1 FromAsCasing']],
  ['from scratch AS web', ['1 FromAsCasing']],
  ['from scratch as web', []],
  ['From scratch as web', ['1 ConsistentInstructionCasing']],
  ['FROM scratch\nLABEL a=1 \\\n\n b=2', ['4 NoEmptyContinuation']],
  ['FROM scratch\nLABEL a=1 \\\n\n b=2 \\\n\n\n c=3', ['7 NoEmptyContinuation']],
  ['FROM scratch\nRUN a <<E \\\n\n b\nx\nE', ['4 NoEmptyContinuation']],
  ['FROM scratch\n# check=skip=NoEmptyContinuation\nLABEL a=1 \\\n\n b=2', ['5 NoEmptyContinuation']],
  ['# check=skip=NoEmptyContinuation\nFROM scratch\nLABEL a=1 \\\n\n b=2', []],
  ['FROM scratch\nLABEL a=1 \\\n # said here\n b=2', []],
  ['FROM scratch\nlabel a=1\nLABEL b=1', ['2 ConsistentInstructionCasing']],
  ['from scratch\nlabel a=1\nLABEL b=1', ['3 ConsistentInstructionCasing']],
  ['from scratch\nLABEL b=1', ['1 ConsistentInstructionCasing']],
  ['arg X\nFROM scratch\nLABEL b=1', []],
  ['FROM scratch AS a\nFROM scratch AS a', ['2 DuplicateStageName']],
  ['FROM scratch AS context', ['1 ReservedStageName']],
  ['FROM scratch AS scratch', ['1 ReservedStageName']],
  ['FROM scratch\nCMD run me', ['2 JSONArgsRecommended']],
  ['FROM scratch\nENTRYPOINT run me', ['2 JSONArgsRecommended']],
  ['FROM scratch\nCMD ["run", "me"]', []],
  ['FROM scratch\nSHELL ["/sh"]\nCMD run me', []],
  ['FROM scratch AS a\nSHELL ["/sh"]\nFROM a\nENTRYPOINT run me', []],
  ['FROM scratch\nMAINTAINER me', ['2 MaintainerDeprecated']],
  ['ARG BASE=scratch\nFROM $BASE', []],
  ['ARG BASE\nFROM scratch${BASE}', []],
  ['FROM scratch${SUFFIX}', ['1 UndefinedArgInFrom']],
  ['FROM --platform=$BULIDPLATFORM scratch', ['1 UndefinedArgInFrom']],
  ['FROM --platform=$BUILDPLATFORM scratch', []],
  ['FROM scratch\nWORKDIR app', ['2 WorkdirRelativePath']],
  ['FROM scratch\nWORKDIR app\nWORKDIR more', ['2 WorkdirRelativePath']],
  ['FROM scratch AS a\nWORKDIR /app\nFROM a\nWORKDIR more', []],
  ['FROM scratch\nCOPY $WHERE .', ['2 UndefinedVar']],
  ['FROM scratch\nARG WHERE\nCOPY $WHERE .', []],
  ['FROM scratch\nCOPY $WHERE .\nARG WHERE=x', ['2 UndefinedVar']],
  ['FROM scratch AS a\nARG WHERE=x\nFROM a\nCOPY $WHERE .', []],
  ['FROM scratch AS a\nENV WHERE=x\nFROM a\nCOPY $WHERE .', []],
  ['FROM scratch\nENV PATH=$PATH:/x', []],
  ['FROM scratch\nENV A=$HTTP_PROXY', ['2 UndefinedVar']],
  ['FROM scratch\nARG HTTP_PROXY\nENV A=$HTTP_PROXY', []],
  ['FROM scratch\nARG a b=$a c=$d', ['2 UndefinedVar']],
  ['FROM scratch\nEXPOSE $NONE', []],
  ['FROM localhost//x', ['1 InvalidDefaultArgInFrom']],
  ['FROM scratch\nENV PATH=$PAHT:/x', ['2 UndefinedVar']],
  ['FROM scratch\nENV A=1 B=$A', ['2 UndefinedVar']],
  ['FROM scratch\nRUN echo $ANYTHING', []],
  ['FROM scratch\nRUN --mount=type=cache,target=$NONE true', ['2 UndefinedVar']],
  ['FROM scratch\nCOPY <<E /x\n$NONE\nE', ['2 UndefinedVar']],
  ['FROM scratch\nCOPY <<"E" /x\n$NONE\nE', []],
  ['FROM scratch\nARG A=$NONE', ['2 UndefinedVar']],
  ['FROM scratch\nARG A=$NONE', [], { arguments: new Map([['A', '1']]) }],
  ['FROM scratch\nCMD ["a"]\nLABEL x=y\nCMD ["b"]', ['2 MultipleInstructionsDisallowed']],
  ['FROM scratch\nCMD ["a"]\n# check=skip=MultipleInstructionsDisallowed\nCMD ["b"]', []],
  [
    'FROM scratch\n# check=skip=MultipleInstructionsDisallowed\nCMD ["a"]\nCMD ["b"]',
    ['3 MultipleInstructionsDisallowed'],
  ],
  ['FROM scratch\nHEALTHCHECK CMD a\nHEALTHCHECK NONE', ['2 MultipleInstructionsDisallowed']],
  ['FROM scratch AS a\nCMD ["a"]\nFROM a\nCMD ["b"]', []],
  ['FROM scratch\nENV a b\nLABEL a b', ['2 LegacyKeyValueFormat', '3 LegacyKeyValueFormat']],
  ['FROM --platform=$TARGETPLATFORM scratch', ['1 RedundantTargetPlatform']],
  ['FROM --platform=${TARGETPLATFORM:-x} scratch', ['1 RedundantTargetPlatform']],
  ['FROM --platform=linux/amd64 scratch', ['1 FromPlatformFlagConstDisallowed']],
  ['FROM --platform=linux/arm64 scratch AS build-arm64', []],
  [
    'FROM scratch\nARG GITHUB_TOKEN\nENV db_password=1',
    ['2 SecretsUsedInArgOrEnv', '3 SecretsUsedInArgOrEnv'],
  ],
  ['FROM scratch\nENV PUBLIC_KEY=1 TOKEN_FILE=2 AUTH_VERSION=3 MONKEY=4', []],
  ['ARG TOKEN\nFROM scratch', []],
  ['ARG TAG\nFROM busybox:$TAG', ['2 InvalidDefaultArgInFrom'], { arguments: new Map([['TAG', '1']]) }],
  ['ARG TAG=1\nFROM busybox:$TAG', []],
  ['ARG VARIANT\nFROM busybox:1$VARIANT', []],
  ['FROM scratch\nCOPY ./a.txt /\nADD b /', ['2 CopyIgnoredFile'], { ignorePatterns: ['a.*'] }],
  ['FROM scratch\nCOPY a.txt /', [], { ignorePatterns: ['a.*', '!a.txt'] }],
  ['FROM scratch\nCOPY . /', [], { ignorePatterns: ['.*'] }],
  ['FROM scratch\nCOPY . /', ['2 CopyIgnoredFile'], { ignorePatterns: ['*'] }],
  ['FROM scratch AS a\nFROM scratch\nCOPY --from=a a.txt /', [], { ignorePatterns: ['a.txt'] }],
  ['FROM scratch\nADD https://example.com/a.txt /', [], { ignorePatterns: ['**/a.txt'] }],
  ['# wrong\nARG A', [], {}],
  ['# check=experimental=all\n# wrong\nARG A\nFROM scratch', ['3 InvalidDefinitionDescription']],
  ['# check=experimental=all\n# A is right\nARG A\nFROM scratch', []],
  ['# check=experimental=all\n# of no one\n#\nARG A\nFROM scratch', []],
  [
    '# check=experimental=InvalidDefinitionDescription\nFROM scratch\n# B\nFROM scratch AS b',
    ['4 InvalidDefinitionDescription'],
  ],
  ['FROM scratch\nEXPOSE 80/TCP 81/udp', ['2 ExposeProtoCasing']],
  ['FROM scratch\nEXPOSE 80:80 [::1]:81:81 82', ['2 ExposeInvalidFormat', '2 ExposeInvalidFormat']],
];

for (const [text, expected, options] of CASES)
  test(JSON.stringify(text), () => deepEqual(found(text, options), expected));

test('every rule of the table has a case that breaks it', () => {
  const broken = new Set(CASES.flatMap(([, expected]) => expected.map((entry) => entry.split(' ')[1])));
  const bases = new Map([['busybox', { os: 'linux', architecture: 'arm64' }]]);
  for (const entry of found('FROM busybox', { bases })) broken.add(entry.split(' ')[1]);
  deepEqual([...broken].sort(), Object.keys(RULES).sort());
});

test('what is not known of a base image silences its variables, but not typing mistakes', () => {
  deepEqual(found('FROM busybox\nARG ASSETS=x\nCOPY $NONE $ASSET /'), ['3 UndefinedVar']);
  deepEqual(report('FROM busybox').unknownBases, ['busybox']);
  const bases = new Map([['busybox', { ...LINUX, config: { Env: ['HOME=/'] } }]]);
  deepEqual(found('FROM busybox\nCOPY $HOME $NONE /', { bases }), ['2 UndefinedVar']);
  deepEqual(report('FROM busybox', { bases }).unknownBases, []);
});

test('a target leaves out the stages that it does not need', () => {
  const text = 'FROM scratch AS a\nCMD x\nFROM scratch AS b\nCMD x\nFROM a AS c\nWORKDIR y\nFROM scratch';
  deepEqual(found(text, { target: 'c' }), ['2 JSONArgsRecommended', '6 WorkdirRelativePath']);
  equal(found(text).length, 3);
});

test('# check= skips rules, for the file or for one instruction', () => {
  deepEqual(found('# check=skip=all\nFROM scratch as a\ncmd x'), []);
  deepEqual(found('#check=skip=JSONArgsRecommended, for now\nFROM scratch as a\nCMD x'), ['2 FromAsCasing']);
  deepEqual(
    found('FROM scratch\n# check=skip=JSONArgsRecommended // signals do not matter\nCMD x\nWORKDIR y'),
    ['4 WorkdirRelativePath'],
  );
  deepEqual(found('FROM scratch\nENV a=1\n# check=skip=all\nENV token=1\nENV key=1'), [
    '5 SecretsUsedInArgOrEnv',
  ]);
  ok(report('# check=error=true\nFROM scratch').findingsFailBuilds);
  const arguments_ = new Map([['BUILDKIT_DOCKERFILE_CHECK', 'skip=FromAsCasing']]);
  deepEqual(found('# check=skip=all\nFROM scratch as a\nCMD x', { arguments: arguments_ }), [
    '3 JSONArgsRecommended',
  ]);
});

test('a check option that nobody knows is refused', () => {
  for (const value of ['x', 'ignore=all', 'error=perhaps'])
    throws(
      () => report(`# check=${value}\nFROM scratch`),
      (error) => error instanceof BuildError && error.code === 'bad-option',
    );
});

test('errors stand beside the findings of the instructions that parse', () => {
  const { problems, findings } = report('FROM scratch AS Bad\nMAINTAINER me\nBADCMD\nCOPY x\n');
  deepEqual(
    problems.map(({ line }) => line),
    [3, 4],
  );
  deepEqual(
    findings.map(({ rule }) => rule),
    ['StageNameCasing', 'MaintainerDeprecated'],
  );
});

test('several files go on where the one before ends', () => {
  const files = [
    { name: 'a', text: 'FROM scratch\nWORKDIR x\n' },
    { name: 'b', text: 'CMD y\n' },
  ];
  const { findings } = lintContainerfiles(files, PLAIN);
  deepEqual(
    findings.map(({ rule, position }) => [position.file, position.line, rule]),
    [
      ['a', 2, 'WorkdirRelativePath'],
      ['b', 1, 'JSONArgsRecommended'],
    ],
  );
});

test('base images are those that no stage and no context is', () => {
  const text = 'ARG V=1\nFROM busybox:$V AS a\nFROM a\nFROM scratch\nFROM ctx\nFROM alpine';
  deepEqual(baseImages([{ name: 'f', text }], { ...PLAIN, contexts: new Set(['ctx']) }), [
    'busybox:1',
    'alpine',
  ]);
});

test.run();
