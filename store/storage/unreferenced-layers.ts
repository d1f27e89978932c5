import type { Rows } from './database.ts';
import type { ContainerRow, ImageRow, LayerRow } from './records.ts';

/** As for `podman system check`: so long may whoever pulls or builds an image take until it records it. */
const GRACE_MS = 24 * 60 * 60 * 1000;

/**
 * Layers that no name, image, container, mount or other layer refers to, topmost first: what a process left that was
 * killed while it removed or made something. The layer of a container is one at once, since it is recorded together with its
 * container under the same lock; that of an image is recorded long before its image may be, so it has to be old.
 */
export function unreferencedLayers(
  layers: Rows<LayerRow>,
  images: Rows<ImageRow>,
  containers: Rows<ContainerRow>,
  { mounted, now }: { readonly mounted: readonly string[]; readonly now: Date },
): LayerRow[] {
  const referenced = new Set([...mounted, ...containers.all.map(({ layer }) => layer)]);
  for (const { layer, 'mapped-layers': mapped } of images.all)
    for (const id of [layer, ...(mapped ?? [])]) if (id) referenced.add(id);
  const children = new Map<string, number>();
  for (const { parent } of layers.all) if (parent) children.set(parent, (children.get(parent) ?? 0) + 1);
  const isUnreferenced = (row: LayerRow) =>
    !referenced.has(row.id) && !children.get(row.id) && !row.names?.length && isAbandoned(row, now);
  const found = layers.all.filter(isUnreferenced);
  for (const row of found) {
    const parent = row.parent ? layers.byId(row.parent) : undefined;
    if (!parent) continue;
    children.set(parent.id, children.get(parent.id)! - 1);
    if (isUnreferenced(parent)) found.push(parent);
  }
  return found;
}

function isAbandoned(row: LayerRow, now: Date): boolean {
  const isOfImage = row['diff-digest'] || row['compressed-diff-digest'] || row['toc-digest'];
  return !isOfImage || !(Date.parse(row.created ?? '') > now.getTime() - GRACE_MS);
}
