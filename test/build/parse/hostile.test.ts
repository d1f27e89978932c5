// Containerfiles that are too large, too deep or broken to be folders of fixtures (SECURITY section 4).
import { equal, ok, throws } from 'node:assert/strict';
import { suite } from 'uvu';
import { BuildError } from '../../../build/error.ts';
import { decodeContainerfile } from '../../../build/parse/decode.ts';
import { expandWord } from '../../../build/parse/expand.ts';
import { parseContainerfile } from '../../../build/parse/parse.ts';
import { applyInstruction } from '../../../build/plan/apply.ts';
import { stageGraph } from '../../../build/plan/graph.ts';
import { newStageState, splitStages } from '../../../build/plan/stages.ts';

const test = suite('hostile Containerfiles');
/** Far above what linear time takes, far below what quadratic time would at these sizes. */
const LIMIT_MS = 15_000;
const OPTIONS = { arguments: new Map<string, string>(), builtins: new Map<string, string>() };

const parse = (text: string) => parseContainerfile(text, { file: 'f' });

/** Everything that happens before something is executed, and every metadata instruction. */
function plan(text: string): { instructions: number; stages: number } {
  const started = performance.now();
  const file = parse(text);
  const stages = splitStages([file], OPTIONS);
  stageGraph(stages, new Set(), OPTIONS);
  for (const stage of stages) {
    const state = newStageState(stage, OPTIONS, []);
    for (const instruction of stage.instructions) applyInstruction(state, instruction, stage.escape);
  }
  const took = performance.now() - started;
  ok(took < LIMIT_MS, `took ${Math.round(took)} ms`);
  return { instructions: file.instructions.length, stages: stages.length };
}

const lines = (count: number, line: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => line(index)).join('\n');

test('100,000 instructions of one stage, each with a variable', () => {
  equal(plan(`FROM a\n${lines(100_000, (index) => `LABEL l=$PATH${index % 7}`)}`).instructions, 100_001);
});

test('10,000 variables, each made of the one before', () => {
  equal(plan(`FROM a\n${lines(10_000, (index) => `ENV V${index}=$V${index - 1}`)}`).instructions, 10_001);
});

test('20,000 stages, each on the one before and copying from it', () => {
  const text = lines(20_000, (index) =>
    index === 0 ? 'FROM a AS s0' : `FROM s${index - 1} AS s${index}\nCOPY --from=s${index - 1} a b`,
  );
  equal(plan(text).stages, 20_000);
});

test('10,000 heredocs, on lines of their own and on one line', () => {
  equal(plan(`FROM a\n${lines(10_000, (index) => `RUN <<E${index}\nx\nE${index}`)}`).instructions, 10_001);
  const words = lines(10_000, (index) => `<<E${index}`).replaceAll('\n', ' ');
  const bodies = lines(10_000, (index) => `x\nE${index}`);
  equal(plan(`FROM a\nCOPY ${words} /d/\n${bodies}`).instructions, 2);
});

test('a line of 65,536 characters and one of a million', () => {
  for (const size of [65_536, 1_000_000]) equal(plan(`FROM a\nRUN echo ${'x'.repeat(size)}`).instructions, 2);
});

test('a line that is longer than any line may be is refused with its number', () => {
  throws(() => parse(`FROM a\nRUN echo ${'x'.repeat(3_000_000)}`), /^BuildError: f:2: line is longer than/);
  throws(() => parse('#'.repeat(17 * 1024 * 1024)), /larger than/);
});

test('a million continued lines', () => {
  equal(plan(`FROM a\nRUN x${' \\\n'.repeat(500_000)}`).instructions, 2);
  equal(plan(`FROM a\nRUN x \\\n${'# comment\n'.repeat(500_000)}y`).instructions, 2);
});

test('words that look like the start of something, again and again', () => {
  for (const piece of ['<<', '<<-', '$', '${', '"', "'", '\\', '--a', '[', '["', '{', '=', '`'])
    for (const keyword of ['RUN', 'ENV A=', 'COPY', 'LABEL', 'CMD', 'EXPOSE', 'ONBUILD RUN']) {
      const started = performance.now();
      try {
        parse(`FROM a\n${keyword} ${piece.repeat(20_000)}`);
      } catch (error) {
        ok(error instanceof BuildError, `${keyword} ${piece}: ${String(error)}`);
      }
      ok(performance.now() - started < LIMIT_MS, `${keyword} ${piece}`);
    }
});

test('substitutions that are nested, or grow, end', () => {
  const none = () => undefined;
  throws(() => expandWord('${A:-'.repeat(100_000), none), BuildError);
  throws(() => expandWord(`${'${A:-'.repeat(1000)}x${'}'.repeat(1000)}`, none), /nested deeper/);
  equal(expandWord(`${'${A:-'.repeat(150)}x${'}'.repeat(150)}`, none), 'x');
  equal(expandWord('${A:-${A}}', none), '');
});

test('a value that doubles with each line is refused before it fills memory', () => {
  throws(() => plan(`FROM a\nENV A=xxxxxxxxxxxxxxxx\n${lines(40, () => 'ENV A=$A$A')}`), /longer than/);
  throws(() => plan(`FROM a\nARG A=xxxxxxxxxxxxxxxx\n${lines(40, () => 'ARG A=${A}${A}')}`), /longer than/);
  throws(
    () => plan(`FROM a\nENV A="${'x'.repeat(100_000)}"\nENV B="${'$A'.repeat(100_000)}"`),
    /longer than/,
  );
  throws(
    () => plan(`FROM a\nENV A=${'x'.repeat(500_000)}\n${lines(100, (index) => `ENV A${index}=$A`)}`),
    /the values of this stage are longer than/,
  );
});

test('bytes that are no UTF-8 are refused but in comments, wherever they stand', () => {
  const bytes = (text: string) => decodeContainerfile(Buffer.from(text, 'latin1'));
  equal(parse(bytes('# \xe9\nFROM a\nRUN x \\\n # \xff\n y')).instructions.length, 2);
  throws(() => parse(bytes('FROM a\n\nRUN \xe9')), /^BuildError: f:3: text that is not UTF-8/);
  throws(() => parse(bytes('FROM a\nRUN x \\\n y\xc3')), /^BuildError: f:3: text/);
  equal(decodeContainerfile(Buffer.from('\uFEFFé\uFFFD')), '\uFEFFé\uFFFD');
});

test('a continuation at the end of the file, with and without a newline', () => {
  for (const end of ['\\', '\\\n', '\\ \n', '\\\n\n', '\\\n# x'])
    equal(parse(`FROM a\nRUN x ${end}`).instructions.length, 2);
});

test('only a million empty lines and comments', () => {
  throws(() => plan('\n#\n'.repeat(500_000)), /no FROM statement/);
});

test.run();
