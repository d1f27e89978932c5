import { deepEqual, equal, throws } from 'node:assert/strict';
import * as fc from 'fast-check';
import { suite } from 'uvu';
import { BuildError } from '../../../build/error.ts';
import { expandWord, expandWords } from '../../../build/parse/expand.ts';
import { expandHeredoc, heredocsOfLine } from '../../../build/parse/heredoc.ts';
import { parsePattern, removePrefix, removeSuffix, replacePattern } from '../../../build/parse/pattern.ts';

const test = suite('variable substitution');
const VALUES: Record<string, string> = {
  A: 'a',
  EMPTY: '',
  PATHS: 'one/two/two/three.tar.gz',
  SPACES: 'x  y',
  STAR: 'a*b',
  UTF: 'héllo',
};
const variables = (name: string) => VALUES[name];

const WORDS: readonly [input: string, expected: string][] = [
  ['plain', 'plain'],
  ['$A', 'a'],
  ['${A}b', 'ab'],
  ['x$NONE', 'x'],
  ['\\$A', '$A'],
  ["'$A'", '$A'],
  ['"$A"', 'a'],
  ['"\\$A"', '$A'],
  ['"a\\b"', 'a\\b'],
  ['a\\b', 'ab'],
  ['$', '$'],
  ['a$', 'a$'],
  ['$1x', 'x'],
  ['$$A', '$a'],
  ['$?$A', '$?a'],
  ['"$@"', '$@'],
  ['${A:-w}', 'a'],
  ['${NONE:-w}', 'w'],
  ['${EMPTY:-w}', 'w'],
  ['${EMPTY-w}', ''],
  ['${NONE-w}', 'w'],
  ['${A:+w}', 'w'],
  ['${EMPTY:+w}', ''],
  ['${EMPTY+w}', 'w'],
  ['${NONE+w}', ''],
  ['${A?w}', 'a'],
  ['${NONE:-${A}$A}', 'aa'],
  ['${NONE:-"}"}', '}'],
  ['${PATHS#*/}', 'two/two/three.tar.gz'],
  ['${PATHS##*/}', 'three.tar.gz'],
  ['${PATHS%.*}', 'one/two/two/three.tar'],
  ['${PATHS%%.*}', 'one/two/two/three'],
  ['${PATHS#none}', 'one/two/two/three.tar.gz'],
  ['${PATHS/two/2}', 'one/2/two/three.tar.gz'],
  ['${PATHS//two/2}', 'one/2/2/three.tar.gz'],
  ['${PATHS//t??/T}', 'one/T/T/Tee.T.gz'],
  ['${PATHS/\\//:}', 'one:two/two/three.tar.gz'],
  ['${STAR/\\*/+}', 'a+b'],
  ['${PATHS/two}', 'one//two/three.tar.gz'],
  ['${PATHS//two}', 'one///three.tar.gz'],
  ['${PATHS/#one/1}', '1/two/two/three.tar.gz'],
  ['${PATHS/#two/2}', 'one/two/two/three.tar.gz'],
  ['${PATHS/%.gz/.xz}', 'one/two/two/three.tar.xz'],
  ['${PATHS/%.*}', 'one/two/two/three'],
  ['${PATHS/#*\\/}', 'three.tar.gz'],
  ['${NONE/#a/b}', ''],
  ['${UTF#h?}', 'llo'],
  ['${NONE//a/b}', ''],
  ['${PATHS/two/\\/}', 'one///two/three.tar.gz'],
  ['${PATHS//two/\\$}', 'one/$/$/three.tar.gz'],
  ['${PATHS%\\.gz}', 'one/two/two/three.tar'],
  ['${PATHS#[n-p]?[^a-d]}', '/two/two/three.tar.gz'],
  ['${PATHS//[^a-z\\/.]}', 'one/two/two/three.tar.gz'],
  ['${PATHS//[.\\/]/-}', 'one-two-two-three-tar-gz'],
  ['${PATHS#[}', 'one/two/two/three.tar.gz'],
  ['${A///-}', '-a-'],
  ['${A/""/-}', '-a'],
  ['${EMPTY///-}', '-'],
  ['${A/#/-}', 'a'],
  ['${A/}/-}', 'a'],
  ['$10', '0'],
  ['${10}', ''],
  ['a<b', 'a<b'],
];

test('words', () => {
  for (const [input, expected] of WORDS) equal(expandWord(input, variables), expected, input);
});

test('the escape character of the file', () => {
  equal(expandWord('c:\\x', variables, { escape: '`' }), 'c:\\x');
  equal(expandWord('`$A', variables, { escape: '`' }), '$A');
});

const BROKEN: readonly [input: string, said: RegExp][] = [
  ['${', /missing '}'/],
  ['${A', /missing '}'/],
  ['${}', /bad substitution/],
  ['${:x}', /bad substitution/],
  ['${A:!x}', /unsupported modifier \(:!\)/],
  ['${A:#x}', /unsupported modifier \(:#\)/],
  ['${A*x}', /unsupported modifier/],
  ['${NONE?}', /NONE: is not allowed to be unset/],
  ['${EMPTY:?}', /EMPTY: is not allowed to be empty/],
  ['${NONE:?why}', /NONE: why/],
  ["'a", /single-quote/],
  ['"a', /double-quote/],
  ['${A/x', /missing '}'/],
  ['${A/}', /no pattern to replace/],
  ['${A//}', /no pattern to replace/],
];

test('broken words', () => {
  for (const [input, said] of BROKEN)
    throws(
      () => expandWord(input, variables),
      (error) => error instanceof BuildError && said.test(error.message),
      input,
    );
});

test('splitting', () => {
  deepEqual(expandWords('a $SPACES "$SPACES" b\\ c', variables), ['a', 'x', 'y', 'x  y', 'b c']);
  deepEqual(expandWords('', variables), []);
});

test('unset variables stay where asked', () => {
  equal(expandWord('$A $B ${C} ${D:-x}', variables, { keepUnset: true }), 'a $B ${C} ${D:-x}');
});

test('heredoc words', () => {
  const names = (line: string) =>
    heredocsOfLine(line).map(({ name, expand, chomp }) => [name, expand, chomp]);
  deepEqual(names('RUN cat <<A <<-B'), [
    ['A', true, false],
    ['B', true, true],
  ]);
  deepEqual(names(`RUN <<"A" <<'B' <<C`), [
    ['A', false, false],
    ['B', false, false],
    ['C', true, false],
  ]);
  deepEqual(names("RUN echo it's <<A"), []);
  deepEqual(names('RUN << A'), [['A', true, false]]);
});

const HEREDOCS: readonly [input: string, expected: string][] = [
  ['$A ${NONE:-w} $NONE', 'a w '],
  ['$$ $? $@ $10 ${A}', '    a'],
  ['\\$A "$A" \'$A\'', '\\$A "a" \'$A\''],
  ["it's $A", "it's a"],
  ['${PATHS/#one/1} ${PATHS/one/\\$}', 'one/two/two/three.tar.gz \\$/two/two/three.tar.gz'],
  ['${PATHS#[a-z]}', 'one/two/two/three.tar.gz'],
];

test('heredocs', () => {
  for (const [input, expected] of HEREDOCS) equal(expandHeredoc(input, variables), expected, input);
  throws(() => expandHeredoc('${A/x}', variables), /missing '\/'/);
});

test('nesting is limited', () => {
  throws(() => expandWord('${A:+'.repeat(300) + '}'.repeat(300), variables), /nested deeper/);
});

test('patterns agree with regular expressions', () => {
  const pattern = fc
    .array(fc.constantFrom('a', 'b', '*', '?'), { maxLength: 6 })
    .map((list) => list.join(''));
  const value = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 10 }).map((list) => list.join(''));
  const regular = (text: string, lazy: boolean) =>
    text.replace(/[*?]/g, (char) => (char === '?' ? '[^]' : lazy ? '[^]*?' : '[^]*'));
  fc.assert(
    fc.property(pattern, value, (text, from) => {
      const parsed = parsePattern(text);
      equal(removePrefix(from, parsed, true), from.replace(new RegExp(`^${regular(text, false)}`), ''));
      equal(removePrefix(from, parsed, false), from.replace(new RegExp(`^${regular(text, true)}`), ''));
      const reversed = [...text].reverse().join('');
      const backwards = [...from]
        .reverse()
        .join('')
        .replace(new RegExp(`^${regular(reversed, false)}`), '');
      equal(removeSuffix(from, parsed, true), [...backwards].reverse().join(''));
      if (/^[^*]+$/.test(text))
        equal(
          replacePattern(from, parsed, '-', 'all'),
          from.replace(new RegExp(regular(text, false), 'g'), '-'),
        );
    }),
  );
});

test('replacing makes no huge text', () => {
  const long = (name: string) => (name === 'L' ? 'a'.repeat(100_000) : undefined);
  for (const word of ['${L//a/$L}', '${L//?/$L}', '${L///$L}'])
    throws(() => expandWord(word, long), /the result is longer than/, word);
});

test('long near-misses take linear time', () => {
  const long = 'a'.repeat(200_000);
  const started = performance.now();
  removePrefix(long, parsePattern('*a*a*a*a*b'), true);
  replacePattern(long, parsePattern('*b'), '', 'all');
  expandWord(`\${NONE:-${long}}`, variables);
  expandWords(`${'x '.repeat(100_000)}"`.slice(0, -1), variables);
  equal(performance.now() - started < 3000, true);
});

test('any text gives words or a typed error', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('$', '{', '}', ':', '-', '"', "'", '\\', 'A', '/', '#', ' ', '<') }),
      (text) => {
        try {
          expandWords(text, variables);
        } catch (error) {
          equal(error instanceof BuildError, true);
        }
      },
    ),
  );
});

test.run();
