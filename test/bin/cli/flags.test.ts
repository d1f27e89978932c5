import { deepEqual, equal, throws } from 'node:assert/strict';
import { suite } from 'uvu';
import type { FlagSpec } from '../../../bin/cli/contract.ts';
import { splitCsv } from '../../../bin/cli/csv.ts';
import { formatByteSize, formatDuration, parseByteSize, parseDuration } from '../../../bin/cli/duration.ts';
import { parseFlags } from '../../../bin/cli/flags.ts';

const SPECS: FlagSpec[] = [
  { name: 'quiet', short: 'q', kind: 'bool', usage: '' },
  { name: 'interactive', short: 'i', kind: 'bool', usage: '' },
  { name: 'terminal', short: 't', kind: 'bool', usage: '' },
  { name: 'output', short: 'o', kind: 'string', usage: '' },
  { name: 'tls-verify', kind: 'optionalBool', usage: '' },
  { name: 'env', short: 'e', kind: 'array', usage: '' },
  { name: 'filter', short: 'f', kind: 'slice', usage: '' },
  { name: 'retry', kind: 'int', usage: '', default: 3 },
  { name: 'delay', kind: 'duration', usage: '' },
  { name: 'pull', kind: 'string', usage: '', impliedValue: 'missing', default: 'always' },
];
const parse = (...words: string[]) => parseFlags(words, SPECS);
const flags = suite('flags as pflag parses them');

flags('long and short forms', () => {
  const { flags: f, args } = parse('--quiet', '-o', 'x', 'a', '--output=y', '-itoz', 'b');
  equal(f.bool('quiet'), true);
  equal(f.bool('interactive') && f.bool('terminal'), true);
  equal(f.string('output'), 'z');
  deepEqual(args, ['a', 'b']);
});
flags('booleans take a value only with =', () => {
  equal(parse('--quiet=false').flags.bool('quiet'), false);
  equal(parse('-q=0').flags.bool('quiet'), false);
  deepEqual(parse('--quiet', 'false').args, ['false']);
  throws(
    () => parse('--quiet=maybe'),
    /invalid argument "maybe" for "-q, --quiet" flag: strconv.ParseBool: parsing "maybe": invalid syntax/,
  );
});
flags('an optional boolean knows that it was not given', () => {
  equal(parse().flags.optionalBool('tls-verify'), undefined);
  equal(parse('--tls-verify=false').flags.optionalBool('tls-verify'), false);
  equal(parse('--tls-verify').flags.optionalBool('tls-verify'), true);
});
flags('an implied value does not take the next word', () => {
  const { flags: f, args } = parse('--pull', 'never');
  equal(f.string('pull'), 'missing');
  deepEqual(args, ['never']);
  equal(parse('--pull=never').flags.string('pull'), 'never');
  equal(parse().flags.string('pull'), 'always');
});
flags('arrays keep commas, slices split at them', () => {
  deepEqual(parse('-e', 'a=1,2', '--env=b').flags.list('env'), ['a=1,2', 'b']);
  deepEqual(parse('-f', 'a,b', '--filter', '"c,d",e').flags.list('filter'), ['a', 'b', 'c,d', 'e']);
});
flags('-- ends the flags and is remembered', () => {
  const line = parse('a', '--', '--quiet');
  deepEqual(line.args, ['a', '--quiet']);
  equal(line.dashAt, 1);
  equal(line.flags.bool('quiet'), false);
});
flags('not interspersed: the first argument ends the flags', () => {
  deepEqual(parseFlags(['-q', 'ctr', 'ls', '-o'], SPECS, false).args, ['ctr', 'ls', '-o']);
});
for (const [words, message] of [
  [['--nope'], /^unknown flag: --nope$/],
  [['-x'], /^unknown shorthand flag: 'x' in -x$/],
  [['-qx'], /^unknown shorthand flag: 'x' in -x$/],
  [['--output'], /^flag needs an argument: --output$/],
  [['-o'], /^flag needs an argument: 'o' in -o$/],
  [['--retry=x'], /^invalid argument "x" for "--retry" flag: strconv.ParseInt: parsing "x": invalid syntax$/],
  [['--delay=5'], /missing unit in duration "5"/],
  [['--=x'], /^bad flag syntax: --=x$/],
] as const) {
  flags(`refused: ${words.join(' ')}`, () =>
    throws(
      () => parse(...words),
      (error: Error) => message.test(error.message),
    ),
  );
}
for (const [text, ms] of [
  ['1h30m', 5_400_000],
  ['1.5s', 1500],
  ['300ms', 300],
  ['-2m', -120_000],
  ['0', 0],
  ['1us', 0.001],
] as const) {
  flags(`duration ${text}`, () => equal(parseDuration(text), ms));
}
for (const [ms, text] of [
  [5_400_000, '1h30m0s'],
  [1500, '1.5s'],
  [300, '300ms'],
  [0, '0s'],
  [60_000, '1m0s'],
] as const) {
  flags(`duration ${ms} prints ${text}`, () => equal(formatDuration(ms), text));
}
for (const [text, bytes] of [
  ['10m', 10_485_760],
  ['1.5k', 1536],
  ['7', 7],
  ['2GB', 2_147_483_648],
  ['1KiB', 1024],
] as const) {
  flags(`size ${text}`, () => equal(parseByteSize(text), bytes));
}
for (const [bytes, text] of [
  [0, '0 B'],
  [999, '999 B'],
  [1234, '1.23 kB'],
  [5_000_000, '5 MB'],
  [229_000_000, '229 MB'],
] as const) {
  flags(`size ${bytes} prints ${text}`, () => equal(formatByteSize(bytes), text));
}
flags('csv quotes', () => {
  deepEqual(splitCsv('a,"b ""c"", d",e'), ['a', 'b "c", d', 'e']);
  deepEqual(splitCsv('a,,b'), ['a', '', 'b']);
  throws(() => splitCsv('a"b'), /bare "/);
  throws(() => splitCsv('"a'), /missing "/);
});
flags.run();
