import { deepEqual, equal, ok } from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import { BuildError } from '../../../build/error.ts';
import { decodeContainerfile } from '../../../build/parse/decode.ts';
import { parseContainerfile } from '../../../build/parse/parse.ts';
import { applyInstruction } from '../../../build/plan/apply.ts';
import { stageGraph } from '../../../build/plan/graph.ts';
import { newStageState, splitStages } from '../../../build/plan/stages.ts';

const VALID = 'fixtures/containerfiles/valid';
const INVALID = 'fixtures/containerfiles/invalid';
const test = suite('Containerfile corpus');

/** Instructions without what only repeats the input. */
function summary(text: string): unknown {
  const { instructions, ...rest } = parseContainerfile(text, { file: 'Containerfile' });
  return {
    ...rest,
    instructions: instructions.map(({ position, ...instruction }) => ({
      lines: `${position.line}-${position.endLine}`,
      ...JSON.parse(
        JSON.stringify(instruction, (key, value) =>
          (Array.isArray(value) && value.length === 0 && key !== 'words') ||
          value === false ||
          key === 'position'
            ? undefined
            : value,
        ),
      ),
    })),
  };
}

for (const name of readdirSync(VALID)) {
  test(`valid: ${name}`, () => {
    const actual = summary(decodeContainerfile(readFileSync(`${VALID}/${name}/Containerfile`)));
    const file = `${VALID}/${name}/result.json`;
    if (!existsSync(file) && process.env.UPDATE_FIXTURES)
      writeFileSync(file, `${JSON.stringify(actual, null, 1)}\n`);
    deepEqual(JSON.parse(JSON.stringify(actual)), JSON.parse(readFileSync(file, 'utf8')));
  });
}

/** Everything that is checked before something is executed, then the metadata instructions of each stage. */
function check(text: string): void {
  const file = parseContainerfile(text, { file: 'Containerfile' });
  const options = { arguments: new Map<string, string>(), builtins: new Map<string, string>() };
  const stages = splitStages([file], options);
  stageGraph(stages, new Set(), options);
  for (const stage of stages) {
    const state = newStageState(stage, options, []);
    for (const instruction of stage.instructions) applyInstruction(state, instruction, stage.escape);
  }
}

for (const name of readdirSync(INVALID)) {
  test(`invalid: ${name}`, () => {
    const expected = readFileSync(`${INVALID}/${name}/message`, 'utf8').trim();
    let said = '';
    try {
      check(decodeContainerfile(readFileSync(`${INVALID}/${name}/Containerfile`)));
    } catch (error) {
      ok(error instanceof BuildError, `${String(error)} is no BuildError`);
      said = error.hint ? `${error.message} | ${error.hint}` : error.message;
    }
    equal(said.slice(0, expected.length), expected);
  });
}

test.run();
