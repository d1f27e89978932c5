import { type LoadedContainersConfig, readContainersConfig } from '../../../config/containers.ts';
import type { CommandContext, CommandIo } from '../../cli/contract.ts';

const loaded = new WeakMap<object, Promise<LoadedContainersConfig>>();

/** containers.conf of these surroundings, read once for a command. */
export function containersConfig({ io }: Pick<CommandContext, 'io'>): Promise<LoadedContainersConfig> {
  const known = loaded.get(io);
  if (known) return known;
  const reading = readContainersConfig({ environment: io.environment });
  loaded.set(io, reading);
  return reading;
}

/** Defaults of RETRY_FLAGS. */
export async function retryDefaults(io: CommandIo): Promise<{ retry: number; 'retry-delay'?: string }> {
  const { engine } = await containersConfig({ io });
  return { retry: engine.retry, ...(engine.retry_delay ? { 'retry-delay': engine.retry_delay } : {}) };
}
