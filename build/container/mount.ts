import type { Store } from '../../store/storage/contract.ts';
import type { WorkingContainer } from './contract.ts';
import { saveContainer } from './state.ts';

/** A mounted root file system, unmounted when disposed. */
export interface MountedContainer extends AsyncDisposable {
  readonly rootfs: string;
}

/** Mounts for the time of one operation; the count of mounts that others hold stays as it was. */
export async function withMount(store: Store, container: WorkingContainer): Promise<MountedContainer> {
  const rootfs = await store.layers.mount(container.layerId, { mountLabel: container.mountLabel });
  return {
    rootfs,
    async [Symbol.asyncDispose]() {
      await store.layers.unmount(container.layerId);
    },
  };
}

/** `buildah mount`: the mount stays, and the state file says where. */
export async function mountContainer(store: Store, container: WorkingContainer): Promise<string> {
  const mountPoint = await store.layers.mount(container.layerId, { mountLabel: container.mountLabel });
  await saveContainer(store, { ...container, mountPoint });
  return mountPoint;
}

/** Drops one mount; forgets the mount point once nothing is mounted any more. */
export async function unmountContainer(store: Store, container: WorkingContainer): Promise<void> {
  const gone = await store.layers.unmount(container.layerId);
  if (gone && container.mountPoint) await saveContainer(store, { ...container, mountPoint: undefined });
}
