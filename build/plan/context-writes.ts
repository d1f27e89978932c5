import type { Instruction } from '../parse/instruction.ts';
import { mountFields } from '../parse/mount-fields.ts';
import type { StageGraph } from './graph.ts';
import type { Stage } from './stages.ts';

// Later steps of a build see what a RUN writes to the context through `--mount=type=bind,rw`, as in Buildah.

/** True where one of these mounts lets a RUN write to the context. */
export function writesContext(mounts: readonly string[]): boolean {
  return mounts.some((mount) => {
    let writes = false;
    for (const [key, value = 'true'] of fieldsOfContext(mount) ?? []) {
      const isOn = !/^(?:false|0)$/i.test(value);
      if (key === 'rw' || key === 'readwrite') writes = isOn;
      if (key === 'ro' || key === 'readonly') writes = !isOn;
    }
    return writes;
  });
}

/** True where something that comes after this instruction may read the context. */
export function isContextReadAfter(stages: readonly Stage[], own: Stage, instruction: Instruction): boolean {
  const rest = own.instructions.slice(own.instructions.indexOf(instruction) + 1);
  const later = stages.filter(({ index }) => index > own.index).flatMap(({ instructions }) => instructions);
  return [...rest, ...later].some(readsContext);
}

/**
 * For each stage that reads the context the earlier ones that write to it, which have to be finished first. None where
 * a stage needs a later one: the order of the file is not that of the build then.
 */
export function writersBefore(
  { needs }: StageGraph,
  stages: readonly Stage[],
): (stage: Stage) => readonly number[] {
  const isInOrder = needs.every(({ all }, index) => [...all].every((need) => need < index));
  const writers = isInOrder ? stages.filter((stage) => stage.instructions.some(isWriter)) : [];
  return ({ index, instructions }) =>
    instructions.some(readsContext)
      ? writers.filter((writer) => writer.index < index).map((writer) => writer.index)
      : [];
}

const isWriter = (instruction: Instruction): boolean =>
  instruction.kind === 'run' && writesContext(instruction.mounts);

function readsContext(instruction: Instruction): boolean {
  if (instruction.kind === 'copy' || instruction.kind === 'add') return instruction.from === undefined;
  return (
    instruction.kind === 'run' && instruction.mounts.some((mount) => fieldsOfContext(mount) !== undefined)
  );
}

/** The fields of a bind mount of the context; undefined for other mounts. */
function fieldsOfContext(mount: string): ReturnType<typeof mountFields> | undefined {
  const fields = mountFields(mount);
  const type = fields.find(([key]) => key === 'type')?.[1] ?? 'bind';
  return type === 'bind' && fields.every(([key]) => key !== 'from') ? fields : undefined;
}
