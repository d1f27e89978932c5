import type { WorkingContainer } from '../../../build/container/contract.ts';
import { importContainer } from '../../../build/container/import.ts';
import { readContainer } from '../../../build/container/state.ts';
import { BuildError } from '../../../build/error.ts';
import type { Session } from './session.ts';

/**
 * The working container of that name or id; one that another tool made is taken over with its image's configuration.
 * @throws BuildError `no-such-container`: `reading build container "x": locating container with ID "x": container not known`
 */
export async function findContainer(
  session: Session,
  name: string,
  doing = `reading build container ${JSON.stringify(name)}`,
): Promise<WorkingContainer> {
  const record = name ? await session.store.containers.get(name) : undefined;
  if (!record) throw containerNotKnown(doing);
  return (await readContainer(session.store, record)) ?? importContainer(session.surroundings, record);
}

export function containerNotKnown(doing: string): BuildError {
  return new BuildError('no-such-container', `${doing}: container not known`);
}

/** Every working container, in the order in which storage lists them. */
export async function allContainers({ store }: Session): Promise<WorkingContainer[]> {
  const found: WorkingContainer[] = [];
  for (const record of await store.containers.list()) {
    const container = await readContainer(store, record);
    if (container) found.push(container);
  }
  return found;
}
