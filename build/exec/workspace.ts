import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { MountLayerOptions } from '../../store/storage/contract.ts';
import { removeTree } from '../../store/storage/remove-tree.ts';
import type { BuildSurroundings, WorkingContainer } from '../container/contract.ts';
import { LeftoverJournal } from './leftovers.ts';

/**
 * Everything that a build makes for its own time: working containers, mounts, temporary directories. Registered when
 * made, taken away on success, failure and interruption alike (SECURITY I12).
 */
export class Workspace implements AsyncDisposable {
  readonly #surroundings: BuildSurroundings;
  readonly #containers = new Map<string, WorkingContainer>();
  readonly #mounts: string[] = [];
  readonly #directories: string[] = [];
  readonly #others: AsyncDisposable[] = [];
  readonly #unmounts: (() => void)[] = [];
  readonly #kept = new Set<string>();
  readonly #journal: LeftoverJournal;
  #temporary: string | undefined;

  constructor(surroundings: BuildSurroundings) {
    this.#surroundings = surroundings;
    this.#journal = LeftoverJournal.open(surroundings.store);
  }

  /** A new directory, readable by its owner alone, below the temporary one or `parent`. */
  directory(purpose: string, parent = this.#surroundings.temporaryDirectory): string {
    const path = join(parent, `slipway-${purpose}-${randomBytes(12).toString('hex')}`);
    this.#journal.add({ kind: 'directory', path });
    mkdirSync(path, { mode: 0o700 });
    this.#directories.push(path);
    return path;
  }

  /** For whatever steps write on their way: downloads, repositories, archives being read. */
  get temporaryDirectory(): string {
    this.#temporary ??= this.directory('steps');
    return this.#temporary;
  }

  /** Called before temporary directories are removed. */
  unmountFirst(action: () => void): void {
    this.#unmounts.push(action);
  }

  /** Disposes something else when the build ends. */
  defer(resource: AsyncDisposable): void {
    this.#others.push(resource);
  }

  /** An id for a container that is about to be made. */
  newContainerId(): string {
    const id = randomBytes(32).toString('hex');
    this.#journal.add({ kind: 'container', id });
    return id;
  }

  addContainer(container: WorkingContainer): void {
    this.#containers.set(container.id, container);
  }

  /** An image, about to be made, that goes when the build ends, unless it has a name then. */
  addImage(id: string): void {
    this.#journal.add({ kind: 'image', id });
  }

  /** Mounts a layer for the rest of the build. */
  async mountLayer(
    layerId: string,
    options: Pick<MountLayerOptions, 'readOnly' | 'mountLabel'> = {},
  ): Promise<string> {
    const path = await this.#surroundings.store.layers.mount(layerId, {
      ...options,
      onMounted: () => this.#journal.add({ kind: 'mount', layerId }),
    });
    this.#mounts.push(layerId);
    return path;
  }

  /** The container stays when the build ends (`--rm=false`). */
  keepContainer(id: string): void {
    this.#kept.add(id);
    this.#journal.remove({ kind: 'container', id });
  }

  async removeContainer(id: string): Promise<void> {
    const container = this.#containers.get(id);
    this.#containers.delete(id);
    await this.#surroundings.store.deleteContainer(id);
    // Its mounts went with it.
    while (container && this.#takeMount(container.layerId))
      this.#journal.remove({ kind: 'mount', layerId: container.layerId });
    this.#journal.remove({ kind: 'container', id });
  }

  /** Drops this build's mounts of a layer. */
  async unmountLayer(layerId: string): Promise<void> {
    while (this.#takeMount(layerId))
      await this.#surroundings.store.layers.unmount(layerId, {
        onUnmounted: () => this.#journal.remove({ kind: 'mount', layerId }),
      });
  }

  #takeMount(layerId: string): boolean {
    const at = this.#mounts.indexOf(layerId);
    if (at >= 0) this.#mounts.splice(at, 1);
    return at >= 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.clear();
    this.#journal[Symbol.dispose]();
  }

  /** Takes everything away. What cannot be is tried again by the next build. */
  async clear(): Promise<void> {
    const failures: unknown[] = [];
    const attempt = async (action: () => unknown) => {
      try {
        await action();
      } catch (error) {
        failures.push(error);
      }
    };
    for (const id of [...this.#containers.keys()])
      if (!this.#kept.has(id)) await attempt(() => this.removeContainer(id));
    for (const layerId of [...this.#mounts]) await attempt(() => this.unmountLayer(layerId));
    for (const action of this.#unmounts.splice(0).reverse()) await attempt(action);
    this.#temporary = undefined;
    for (const path of this.#directories.splice(0)) await attempt(() => removeTree(path));
    for (const other of this.#others.splice(0)) await attempt(() => other[Symbol.asyncDispose]());
    if (failures.length > 0) throw failures[0];
  }
}
