import type { Instruction } from '../parse/instruction.ts';
import { parseContainerfile } from '../parse/parse.ts';
import type { Stage } from '../plan/stages.ts';
import { assignedValue, nameOf } from '../plan/variables.ts';
import type { BuildSession } from './session.ts';

/**
 * A stage's instructions with what flags add: `--env` at its beginning, `--label` at the end of the last one, and the
 * labels of `--stage-labels`.
 */
export function stageInstructions(session: BuildSession, stage: Stage): readonly Instruction[] {
  const { options } = session;
  const isLast = stage.index === session.stages.length - 1;
  const stageLabels = [
    ...(options.stageLabels && options.saveStages && stage.instructions.length > 0
      ? [
          `LABEL ${pair('io.buildah.stage.name', stage.name)} ${pair('io.buildah.stage.base', baseOf(session, stage))}`,
        ]
      : []),
  ];
  const environment = [
    ...(options.environment?.length
      ? [`ENV ${options.environment.map((entry) => pair(nameOf(entry), assignedValue(entry))).join(' ')}`]
      : []),
  ];
  const labels = isLast ? (options.labels ?? []).filter((label) => nameOf(label) !== '') : [];
  const after =
    labels.length > 0
      ? [`LABEL ${labels.map((label) => pair(nameOf(label), assignedValue(label))).join(' ')}`]
      : [];
  return [
    ...parsed('--stage-labels', stageLabels),
    ...parsed('--env', environment),
    ...stage.instructions,
    ...parsed('--label', after),
  ];
}

function parsed(flag: string, lines: readonly string[]): readonly Instruction[] {
  return lines.length === 0 ? [] : parseContainerfile(lines.join('\n'), { file: flag }).instructions;
}

/** Go's `%q=%q`. */
function pair(name: string, value: string): string {
  return `${JSON.stringify(name)}=${JSON.stringify(value)}`;
}

function baseOf(session: BuildSession, stage: Stage): string {
  const index = session.graph.needs[stage.index]?.base;
  return (index === undefined ? undefined : session.results.get(index)?.imageId) ?? stage.base;
}
