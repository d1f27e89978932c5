import { imageNotKnown } from '../../../../build/container/find-image.ts';
import { findLocalImage } from '../../../../build/container/pull.ts';
import type { ImageRecord } from '../../../../store/storage/contract.ts';
import type { Session } from '../../buildah/session.ts';

/** A local image by name or id. @throws BuildError `pull-failed` (`image not known`) */
export async function findImageRecord(session: Session, name: string): Promise<ImageRecord> {
  const found = await findLocalImage(session.surroundings, name);
  if (!found) throw imageNotKnown(name);
  return found.record;
}
