import type { ContainersConfig } from '../../config/containers.ts';
import { isExecutable } from './programs.ts';

/**
 * The runtime that was asked for, else the one of containers.conf, at the first of its places there that has it.
 * Undefined where neither names one.
 */
export function runtimeOf(
  engine: Pick<ContainersConfig['engine'], 'runtime' | 'runtimes'>,
  asked: string | undefined,
): string | undefined {
  const name = asked || engine.runtime;
  if (!name) return undefined;
  return engine.runtimes[name]?.find(isExecutable) ?? name;
}
