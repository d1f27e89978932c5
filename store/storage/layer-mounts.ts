import type { MountLayerOptions, UnmountLayerOptions } from './contract.ts';
import type { Database } from './database.ts';
import type { Foundation } from './foundation.ts';
import { mappingsToApply, mustFind } from './layer-rows.ts';
import { isMountPoint } from './mount-table.ts';
import type { ContainerRow } from './records.ts';

/**
 * Mounts a layer, or counts one user more. The graph lock keeps other tools from shutting the driver down meanwhile.
 * @returns the directory with the whole tree
 */
export async function mountLayer(
  { driver, graphLock, layers, containers, mounts, places }: Foundation,
  id: string,
  { onMounted, ...options }: MountLayerOptions,
): Promise<string> {
  const hold = await graphLock.acquire('write');
  try {
    return await layers.write(async (rows) => {
      const row = mustFind(rows, id);
      let isMounted = false;
      const entry = await mounts.update(row.id, async (current) => {
        isMounted = current !== undefined && isMountPoint(current.path);
        if (current && isMounted) return { ...current, count: current.count + 1 };
        onMounted?.();
        const idMappings = mappingsToApply(row, row.parent ? rows.byId(row.parent) : undefined);
        const volatile = !places.disableVolatile && (await isVolatile(containers, row.id));
        const path = await driver.mount(row.id, {
          mountLabel: row.mountlabel,
          idMappings,
          volatile,
          ...options,
        });
        // A count from before a reboot or a lost mount goes on, as in the original.
        return { id: row.id, path, count: (current?.count ?? 0) + 1 };
      });
      if (isMounted) onMounted?.();
      return entry!.path;
    });
  } finally {
    hold.release();
  }
}

/** Drops one user, and unmounts after the last or with `force`. True when nothing is mounted any more. */
export async function unmountLayer(
  { driver, layers, mounts }: Foundation,
  id: string,
  { force, onUnmounted }: UnmountLayerOptions,
): Promise<boolean> {
  return await layers.write(async (rows) => {
    const row = mustFind(rows, id);
    const rest = await mounts.update(row.id, async (current) => {
      if (!force && current && current.count > 1) {
        onUnmounted?.();
        return { ...current, count: current.count - 1 };
      }
      await driver.unmount(row.id);
      return undefined;
    });
    if (rest === undefined) onUnmounted?.();
    return rest === undefined;
  });
}

/** The layer belongs to a container that was made to be lost, as all of Buildah's are. */
function isVolatile(containers: Database<ContainerRow>, layerId: string): Promise<boolean> {
  return containers.read((rows) =>
    rows.all.some(({ layer, flags }) => layer === layerId && flags?.Volatile === true),
  );
}
