import type { TransportContext } from '../../transport/contract.ts';
import type { CommandContext, FlagSpec } from './contract.ts';
import { type ContextOptions, transportContext } from './transport-context.ts';

export const REGISTRIES_D_FLAG: FlagSpec = {
  name: 'registries.d',
  kind: 'string',
  usage: 'read where registries keep signatures from the files in `DIRECTORY`',
};

/** The surroundings of a command that declares {@link REGISTRIES_D_FLAG}. */
export function signatureContext(context: CommandContext, options: ContextOptions = {}): TransportContext {
  return transportContext(context, options);
}
