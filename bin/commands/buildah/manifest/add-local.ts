import { addImage } from '../../../../build/list/add-image.ts';
import { emptyList, saveList } from '../../../../build/list/list.ts';
import { formatReference } from '../../../../image/reference.ts';
import { parseImageReference } from '../../../../transport/references.ts';
import { localName } from '../local-name.ts';
import type { Session } from '../session.ts';
import { findListIfThere } from './find-list.ts';

/** Refuses the name of an image that is no list, before anything is built for it. @throws BuildError `bad-argument` */
export async function checkListName(session: Session, name: string): Promise<void> {
  if (!(await findListIfThere(session, name))) localName(name);
}

/** Adds an image of local storage to a list, which is made when missing: `commit --manifest`, `build --manifest`. */
export async function addToManifestList(session: Session, name: string, imageId: string): Promise<string> {
  const { store, surroundings } = session;
  const list = (await findListIfThere(session, name))?.list ?? emptyList();
  const reference = await parseImageReference(`containers-storage:@${imageId}`, surroundings);
  const added = await addImage(surroundings, list, reference, true);
  return saveList(store, added.list, list.id === '' ? [formatReference(localName(name))] : []);
}
