import { StoreError } from '../error.ts';
import type { Rows } from './database.ts';
import type { ContainerRow, ImageRow, LayerRow } from './records.ts';

/**
 * Which layers go when an image goes: from its top layer down to the first one that a container, another image or
 * another layer needs; mapped copies of the top layer first.
 * @throws StoreError `in-use` when a container was made from the image
 */
export function layersToRemove(
  image: ImageRow,
  layers: Rows<LayerRow>,
  images: Rows<ImageRow>,
  containers: Rows<ContainerRow>,
): LayerRow[] {
  const user = containers.all.find((container) => container.image === image.id);
  if (user) throw new StoreError('in-use', `image used by ${user.id}: image is in use by a container`);
  const needed = new Set(containers.all.map((container) => container.layer));
  for (const other of images.all) {
    if (other === image) continue;
    for (const id of [other.layer, ...(other['mapped-layers'] ?? [])]) if (id) needed.add(id);
  }
  const children = childrenByParent(layers);
  const doomed: LayerRow[] = [];
  const take = (id: string | undefined): LayerRow | undefined => {
    const row = id ? layers.byId(id) : undefined;
    if (!row || needed.has(row.id)) return undefined;
    if (children.get(row.id)?.some((child) => !doomed.includes(child))) return undefined;
    doomed.push(row);
    return row;
  };
  for (const id of image['mapped-layers'] ?? []) take(id);
  for (let row = take(image.layer); row !== undefined; ) row = take(row.parent);
  return doomed;
}

function childrenByParent(layers: Rows<LayerRow>): Map<string, LayerRow[]> {
  const children = new Map<string, LayerRow[]>();
  for (const row of layers.all) {
    if (!row.parent) continue;
    const siblings = children.get(row.parent);
    if (siblings) siblings.push(row);
    else children.set(row.parent, [row]);
  }
  return children;
}
