import type { TransportContext } from '../contract.ts';
import type { LayoutArchiveReference } from '../oci-archive/reference.ts';
import { openArchivedLayout } from '../oci-archive/source.ts';
import { LayoutDirectory } from './directory.ts';
import { layoutNames, parseLayoutIndex, selectPosition } from './layout.ts';
import { LayoutReference } from './reference.ts';

/** The names in a layout or its archive; what the reference chooses must be there. @throws TransportError `not-found` */
export async function listLayoutTags(
  reference: LayoutReference | LayoutArchiveReference,
  context: TransportContext,
): Promise<readonly string[]> {
  const { path, selector } = reference;
  await using files =
    reference instanceof LayoutReference
      ? new LayoutDirectory(path, context.ociSharedBlobDirectory)
      : await openArchivedLayout(path, context);
  const index = parseLayoutIndex(await files.readIndex(), files.where);
  const chosen = selector.position ?? selector.digest ?? selector.name;
  if (chosen !== '') selectPosition(index, selector, files.where);
  return layoutNames(index);
}
