import type { ContainerRecord } from '../../store/storage/contract.ts';
import { BuildError } from '../error.ts';
import type { BuildSurroundings, WorkingContainer } from './contract.ts';
import { describeImage } from './create.ts';
import { saveContainer } from './state.ts';

/**
 * Takes over a container that another tool made: its image's configuration becomes its own, and a state file is
 * written beside its data.
 * @throws BuildError `no-such-container` for a container without an image
 */
export async function importContainer(
  surroundings: BuildSurroundings,
  record: ContainerRecord,
): Promise<WorkingContainer> {
  const image = record.imageId ? await surroundings.store.images.get(record.imageId) : undefined;
  if (!image)
    throw new BuildError(
      'no-such-container',
      `container "${record.names[0] ?? record.id}" was not made by buildah and has no image to take its configuration from`,
    );
  const described = await describeImage(surroundings, image);
  const container: WorkingContainer = {
    ...described,
    id: record.id,
    name: record.names[0] ?? '',
    layerId: record.layerId,
    idMappings: record.idMappings,
  };
  await saveContainer(surroundings.store, container);
  return container;
}
