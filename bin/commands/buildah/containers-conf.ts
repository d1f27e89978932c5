import { type LoadedContainersConfig, readContainersConfig } from '../../../config/containers.ts';
import type { CommandContext } from '../../cli/contract.ts';

const loaded = new WeakMap<object, Promise<LoadedContainersConfig>>();

/** containers.conf of these surroundings, read once for a command. */
export function containersConfig({ io }: CommandContext): Promise<LoadedContainersConfig> {
  const known = loaded.get(io);
  if (known) return known;
  const reading = readContainersConfig({ environment: io.environment });
  loaded.set(io, reading);
  return reading;
}
