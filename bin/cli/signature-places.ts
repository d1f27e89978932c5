import { resolve } from 'node:path';
import type { TransportContext } from '../../transport/contract.ts';
import type { CommandContext, FlagSpec } from './contract.ts';
import { transportContext } from './transport-context.ts';

export const REGISTRIES_D_FLAG: FlagSpec = {
  name: 'registries.d',
  kind: 'string',
  usage: 'read where registries keep signatures from the files in `DIRECTORY`',
};

/** The surroundings of a command that declares {@link REGISTRIES_D_FLAG}. */
export function signatureContext(context: CommandContext): TransportContext {
  const surroundings = transportContext(context);
  const directory = context.flags.string('registries.d');
  if (!directory || !surroundings.docker) return surroundings;
  const registriesDirectory = resolve(context.io.workingDirectory, directory);
  return { ...surroundings, docker: { ...surroundings.docker, registriesDirectory } };
}
