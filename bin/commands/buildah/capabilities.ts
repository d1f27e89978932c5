import { CAPABILITY_NAMES } from '../../../build/run/capabilities.ts';
import type { CommandContext } from '../../cli/contract.ts';
import { usage } from './arguments.ts';
import { containersConfig } from './containers-conf.ts';

/** The defaults of containers.conf with the given ones added and dropped, sorted; `all` stands for every one. */
export async function effectiveCapabilities(
  context: CommandContext,
  add: readonly string[],
  drop: readonly string[],
): Promise<string[]> {
  const added = add.map(normalise);
  const dropped = drop.map(normalise);
  for (const name of added)
    if (dropped.includes(name)) throw usage(`capability "${name}" cannot be dropped and added`);
  const base = dropped.includes('ALL')
    ? []
    : added.includes('ALL')
      ? CAPABILITY_NAMES
      : (await containersConfig(context)).containers.default_capabilities;
  const wanted = new Set([...base, ...added.filter((name) => name !== 'ALL')]);
  for (const name of dropped) wanted.delete(name);
  return [...wanted].sort();
}

function normalise(text: string): string {
  const upper = text.toUpperCase();
  if (upper === 'ALL') return upper;
  const name = upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
  if (!CAPABILITY_NAMES.includes(name)) throw usage(`"${name}": unknown capability`);
  return name;
}
