import { deepEqual, equal } from 'node:assert/strict';
import { suite } from 'uvu';
import { parseContainerfile } from '../../../build/parse/parse.ts';
import { isContextReadAfter, writersBefore, writesContext } from '../../../build/plan/context-writes.ts';
import { stageGraph } from '../../../build/plan/graph.ts';
import { splitStages } from '../../../build/plan/stages.ts';

const test = suite('writes to the context');

const MOUNTS: readonly [mount: string, writes: boolean][] = [
  ['type=bind,target=/m', false],
  ['type=bind,target=/m,rw', true],
  ['target=/m,rw=true', true],
  ['target=/m,readwrite', true],
  ['target=/m,ro=false', true],
  ['target=/m,rw=false', false],
  ['target=/m,rw,ro', false],
  ['target=/m,rw,from=other', false],
  ['type=cache,target=/m,rw', false],
];
for (const [mount, writes] of MOUNTS)
  test(`${mount}: ${writes}`, () => {
    equal(writesContext([mount]), writes);
  });

function planned(text: string) {
  const options = { arguments: new Map<string, string>(), builtins: new Map<string, string>() };
  const stages = splitStages([parseContainerfile(text, { file: 'f' })], options);
  return { stages, graph: stageGraph(stages, new Set(), options) };
}

const WRITE = 'RUN --mount=target=/m,rw x';

test('only what comes later, and reads the context, sees the writes', () => {
  for (const [rest, isRead] of [
    ['RUN y', false],
    ['COPY --from=x a /', false],
    ['COPY a /', true],
    ['RUN --mount=target=/m y', true],
    ['RUN --mount=type=cache,target=/m y', false],
    ['FROM b\nADD a /', true],
  ] as const) {
    const { stages } = planned(`FROM a\nCOPY z /\n${WRITE}\n${rest}`);
    equal(isContextReadAfter(stages, stages[0]!, stages[0]!.instructions[1]!), isRead, rest);
  }
});

test('stages that read wait for earlier ones that write, unless one needs a later stage', () => {
  const before = (text: string) => {
    const { stages, graph } = planned(text);
    return stages.map(writersBefore(graph, stages));
  };
  deepEqual(before(`FROM a\nCOPY a /\nFROM a\n${WRITE}\nFROM a\nRUN y\nFROM a\nCOPY a /`), [[], [], [], [1]]);
  deepEqual(before(`FROM a\n${WRITE}\nCOPY --from=last /a /\nFROM a AS last\nCOPY a /`), [[], []]);
});

test.run();
