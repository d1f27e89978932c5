import { prependHistory } from '../../../build/container/config.ts';
import type { WorkingContainer } from '../../../build/container/contract.ts';
import type { CommandContext, FlagSpec } from '../../cli/contract.ts';

export const ADD_HISTORY_FLAG: FlagSpec = {
  name: 'add-history',
  kind: 'bool',
  usage: "add an entry to the image's history; BUILDAH_HISTORY=true does so too",
};

/** Adds a history entry where `--add-history` or BUILDAH_HISTORY asks for it. */
export function withHistory(
  context: CommandContext,
  container: WorkingContainer,
  createdBy: string,
): WorkingContainer {
  const { flags, io } = context;
  const wanted = flags.changed('add-history')
    ? flags.bool('add-history')
    : ['1', 'true'].includes((io.environment.BUILDAH_HISTORY ?? '').toLowerCase());
  if (!wanted) return container;
  return prependHistory({ created: new Date().toISOString(), created_by: createdBy })(container);
}
