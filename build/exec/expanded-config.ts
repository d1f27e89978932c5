import type { Instruction } from '../parse/instruction.ts';
import type { StageState } from '../plan/stage-state.ts';
import { assignedValue, nameOf } from '../plan/variables.ts';
import type { ImageView } from './image-view.ts';
import type { BuildOptions } from './options.ts';

/**
 * Whether an image has what a metadata instruction with variables came to. Histories keep the text alone, so that
 * `ENV A=$B` of another `--build-arg B` looks the same there; Buildah takes such an image for its own.
 */
export function hasExpandedConfig(
  view: ImageView,
  instruction: Instruction,
  state: StageState,
  options: Pick<BuildOptions, 'unsetEnvironment' | 'unsetLabels'>,
): boolean {
  if (!instruction.original.includes('$')) return true;
  const image = view.config.config ?? {};
  const { config } = state;
  const sameKeys = (a: object, b: object = {}) => Object.keys(a).every((key) => key in b);
  return (
    (image.User ?? '') === config.User &&
    (image.WorkingDir ?? '') === config.WorkingDir &&
    (image.StopSignal ?? '') === config.StopSignal &&
    sameKeys(config.ExposedPorts, image.ExposedPorts) &&
    sameKeys(config.Volumes, image.Volumes) &&
    hasEntries(config.Env, image.Env ?? [], options.unsetEnvironment) &&
    hasEntries(pairs(config.Labels), pairs(image.Labels ?? {}), options.unsetLabels)
  );
}

const pairs = (labels: Readonly<Record<string, string>>) =>
  Object.entries(labels).map(([name, value]) => `${name}=${value}`);

/** @param unset names that a flag takes out of the image */
function hasEntries(
  wanted: readonly string[],
  there: readonly string[],
  unset: readonly string[] = [],
): boolean {
  const values = new Map(there.map((entry) => [nameOf(entry), assignedValue(entry)]));
  return wanted.every(
    (entry) => unset.includes(nameOf(entry)) || values.get(nameOf(entry)) === assignedValue(entry),
  );
}
