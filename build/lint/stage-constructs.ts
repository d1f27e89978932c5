import type { Instruction } from '../parse/instruction.ts';
import { mountSources } from '../parse/mount-fields.ts';
import { no, type Use } from './construct.ts';

interface NamedStage {
  readonly name: string;
  /** Of its FROM among the instructions. */
  readonly at: number;
}

/** Names of stages in FROM, COPY and mounts: those further down, in other case, and numbers. */
export function stageConstructs(instructions: readonly Instruction[]): readonly Use[] {
  const stages = instructions.flatMap((instruction, at): NamedStage[] =>
    instruction.kind === 'from' && instruction.stageName !== undefined
      ? [{ name: instruction.stageName, at }]
      : [],
  );
  return instructions.flatMap((instruction, at) => {
    const { line } = instruction.position;
    switch (instruction.kind) {
      case 'from':
        return baseUses(
          instruction.image,
          stages.filter((stage) => stage.at < at),
          line,
        );
      case 'copy':
        return instruction.from === undefined ? [] : copyUses(instruction.from, at, stages, line);
      case 'run':
        return mountSources(instruction.mounts).flatMap((from) => mountUses(from, stages, line));
      default:
        return [];
    }
  });
}

function baseUses(image: string, above: readonly NamedStage[], line: number): readonly Use[] {
  const stage = alike(image, above);
  if (!stage) return [];
  const buildkit = image === image.toLowerCase() ? {} : { buildkit: no('it wants the name in lower case') };
  const uses = otherCase(image, stage, line);
  if (uses.length > 0 || buildkit.buildkit)
    return [
      { what: `the stage ${stage.name} as ${image}`, line, verdicts: { ...uses[0]?.verdicts, ...buildkit } },
    ];
  return [];
}

function copyUses(from: string, at: number, stages: readonly NamedStage[], line: number): readonly Use[] {
  const stage = alike(from, stages);
  if (!stage) return [];
  const why = no('a stage must stand above what copies from it');
  return [
    ...(stage.at > at
      ? [{ what: 'COPY --from a later stage', line, verdicts: { buildah: why, buildkit: why } }]
      : []),
    ...otherCase(from, stage, line),
  ];
}

function mountUses(from: string, stages: readonly NamedStage[], line: number): readonly Use[] {
  if (/^\d+$/.test(from)) {
    const why = no('it takes names of stages here, and no numbers');
    return [
      { what: 'RUN --mount with the number of a stage', line, verdicts: { buildah: why, buildkit: why } },
    ];
  }
  const stage = alike(from, stages);
  return stage ? otherCase(from, stage, line) : [];
}

function otherCase(given: string, { name }: NamedStage, line: number): readonly Use[] {
  if (given === name) return [];
  const verdicts = { buildah: no('it tells names that differ in case apart') };
  return [{ what: `the stage ${name} as ${given}`, line, verdicts }];
}

/** The stage that has this name exactly, else in another case. */
function alike(name: string, stages: readonly NamedStage[]): NamedStage | undefined {
  return (
    stages.findLast((stage) => stage.name === name) ??
    stages.findLast((stage) => stage.name.toLowerCase() === name.toLowerCase())
  );
}
