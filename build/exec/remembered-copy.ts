import { join } from 'node:path';
import type { AddOptions, CopyReuse } from '../add/contract.ts';
import { CopyMemory } from '../add/previous-copy.ts';
import { type BytePath, viewOf } from '../add/rooted.ts';
import type { TreeEntry } from '../add/tree-writer.ts';
import type { ResolvedCopy } from '../plan/apply.ts';
import type { BuildSession } from './session.ts';
import type { StageContainer } from './stage-container.ts';

/** What one COPY may take over from the layer of an earlier build, and what it leaves to later ones. */
export class RememberedCopy implements CopyReuse {
  readonly previous: CopyReuse['previous'];
  readonly mounts = 1;
  readonly #memory: CopyMemory;
  readonly #container: StageContainer;
  readonly #digests = new Map<BytePath, string>();
  #base: BytePath | undefined;

  private constructor(memory: CopyMemory, previous: CopyReuse['previous'], container: StageContainer) {
    this.#memory = memory;
    this.previous = previous;
    this.#container = container;
  }

  /** Undefined where nothing may be taken over: see {@link mayReuse}. */
  static async open(
    session: BuildSession,
    container: StageContainer,
    copy: ResolvedCopy,
    workingDirectory: string,
  ): Promise<RememberedCopy | undefined> {
    const { options, surroundings } = session;
    const { store } = surroundings;
    if (options.memoryDirectory === undefined || !mayReuse(session, copy)) return undefined;
    if ((await container.ensure()).idMappings) return undefined;
    const memory = CopyMemory.open(join(options.memoryDirectory, 'copied'), [
      store.graphRoot,
      session.contextDirectory,
      copy.from ?? '',
      ...copy.sources,
      copy.destination,
      workingDirectory,
    ]);
    if (!memory) return undefined;
    const files = memory.load();
    const layer = files && (await store.layers.get(files.layerId));
    const previous = layer && { ...files, directory: await store.layers.diffDirectory(layer.id) };
    return new RememberedCopy(memory, previous, container);
  }

  unmount(): Promise<void> {
    return this.#container.unmount();
  }

  onBase(base: BytePath): void {
    this.#base = base;
  }

  readonly onContent: NonNullable<AddOptions['onContent']> = (
    _source: BytePath,
    entry: TreeEntry,
    _sizeBytes: number,
    digest: Uint8Array | undefined,
  ) => {
    if (entry.kind === 'file' && digest) this.#digests.set(entry.path, viewOf(digest).toString('hex'));
  };

  save(layerId: string): void {
    if (this.#base !== undefined) this.#memory.save({ layerId, base: this.#base, digests: this.#digests });
  }
}

/** Links are only for layers of overlay that nothing writes to any more, not even new times. */
function mayReuse({ options, surroundings }: BuildSession, copy: ResolvedCopy): boolean {
  return (
    surroundings.store.driver === 'overlay' &&
    options.layers &&
    options.useCache &&
    !copy.link &&
    copy.files.length === 0 &&
    options.timestampSeconds === undefined &&
    !options.rewriteTimestamp
  );
}
