import { setPlatform } from '../container/config.ts';
import type { CreateWorkingContainerOptions, WorkingContainer } from '../container/contract.ts';
import { createFromRecord, plannedContainer, rebaseContainer, shownName } from '../container/create.ts';
import { BuildError } from '../error.ts';
import type { StageState } from '../plan/stage-state.ts';
import type { Stage } from '../plan/stages.ts';
import { ensureDirectory } from './directories.ts';
import type { ImageView } from './image-view.ts';
import type { BuildSession } from './session.ts';

/** Where a stage has arrived: the image its next step builds on. */
interface Position {
  /** Undefined: scratch. */
  readonly view?: ImageView;
  /** What the container is made from, as it is written into histories. */
  readonly from: string;
  readonly keepBaseAnnotations: boolean;
  /** An image that steps of this build stand for. */
  readonly goesById: boolean;
}

export interface MountedStage {
  readonly container: WorkingContainer;
  readonly rootfs: string;
}

/**
 * The working container of a stage. It is made when a step first needs one, mounted when a step first touches files,
 * and goes on as the container of the next image where a step changed no file.
 */
export class StageContainer {
  readonly #session: BuildSession;
  readonly #stage: Stage;
  readonly #state: StageState;
  #position: Position = { from: 'scratch', keepBaseAnnotations: false, goesById: false };
  #container: WorkingContainer | undefined;
  #rootfs = '';
  readonly #wanted: { readonly WorkingDir: string; readonly User: string }[] = [];

  constructor(session: BuildSession, stage: Stage, state: StageState) {
    this.#session = session;
    this.#stage = stage;
    this.#state = state;
  }

  get view(): ImageView | undefined {
    return this.#position.view;
  }

  startFrom(position: Position): void {
    this.#position = position;
  }

  async ensure(): Promise<WorkingContainer> {
    if (this.#container) return this.#container;
    const { surroundings, workspace } = this.#session;
    const { view, from } = this.#position;
    const platform = this.#session.platformOf(this.#stage);
    const name = from === 'scratch' ? '' : from;
    const made = await createFromRecord({ ...surroundings, platform }, name, view?.record, {
      ...this.#options(),
      id: workspace.newContainerId(),
    });
    workspace.addContainer(made);
    this.#container = view ? made : setPlatform(platform)(made);
    return this.#container;
  }

  /** All that the container takes over: the base by name and digest, and the platform. */
  origin(): readonly unknown[] {
    const { view, from } = this.#position;
    const shown = view ? shownName(from, view.record, this.#position) : from;
    return [shown, view?.digest, this.#session.platformOf(this.#stage)];
  }

  /** The container, or, where none was needed so far, what it would be. */
  planned(): WorkingContainer {
    if (this.#container) return this.#container;
    const { view, from } = this.#position;
    const platform = this.#session.platformOf(this.#stage);
    const base = view && { ...view, manifestBytes: view.manifest };
    const image = view && base ? { record: view.record, base } : undefined;
    const name = from === 'scratch' ? '' : from;
    const planned = plannedContainer(
      { ...this.#session.surroundings, platform },
      name,
      image,
      this.#options(),
    );
    return view ? planned : setPlatform(platform)(planned);
  }

  #options(): CreateWorkingContainerOptions {
    const { options } = this.#session;
    return {
      from: this.#position.from,
      format: options.format,
      keepBaseAnnotations: this.#position.keepBaseAnnotations,
      goesById: this.#position.goesById,
      bareScratchConfig: options.compatScratchConfig,
      isolation: options.run.isolation,
      ...options.run.stored,
      args: Object.fromEntries(this.#state.arguments),
    };
  }

  /** Takes a changed value of the same container. */
  replace(container: WorkingContainer): void {
    this.#container = container;
  }

  /** Mounted, with the image's volumes and the working directory in place. */
  async mounted(): Promise<MountedStage> {
    const container = await this.ensure();
    if (this.#rootfs === '') {
      this.#rootfs = await this.#session.workspace.mountLayer(container.layerId);
      for (const path of Object.keys(this.view?.config.config?.Volumes ?? {}))
        ensureDirectory({ rootfs: this.#rootfs, container }, path, undefined);
    }
    const mounted = { container, rootfs: this.#rootfs };
    this.noteWorkingDirectory();
    for (const { WorkingDir, User } of this.#wanted.splice(0)) ensureDirectory(mounted, WorkingDir, User);
    return mounted;
  }

  /**
   * A working directory that is missing belongs to the user of the first step that has it, also where that step touches
   * no file. With layers only the last one is made, for a RUN as its own user's, as in Buildah.
   */
  noteWorkingDirectory(isRun = false): void {
    const { WorkingDir, User } = this.#state.config;
    const { layers } = this.#session.options;
    const isNoted = this.#wanted.at(-1)?.WorkingDir === WorkingDir && !(layers && isRun);
    if (!WorkingDir || isNoted) return;
    if (layers) this.#wanted.length = 0;
    this.#wanted.push({ WorkingDir, User });
  }

  /** Until files are touched again: the layer of a mounted container can only be copied, not moved into an image. */
  async unmount(): Promise<void> {
    if (!this.#container || this.#rootfs === '') return;
    this.#rootfs = '';
    await this.#session.workspace.unmountLayer(this.#container.layerId);
  }

  /** The image becomes what the next step builds on. */
  async moveTo(imageId: string, isLastInstruction: boolean): Promise<void> {
    const before = this.view?.record.topLayer;
    const view = await this.#session.views.byId(imageId);
    if (!view && !isLastInstruction)
      throw new BuildError('missing-file', `image "${imageId}" disappeared while it was built on`);
    this.#position = {
      ...(view ? { view } : {}),
      from: imageId,
      keepBaseAnnotations: true,
      goesById: true,
    };
    const { surroundings, options } = this.#session;
    const untouched = this.#rootfs === '' && view?.record.topLayer === before;
    const goesOn = untouched && !isLastInstruction && options.removeIntermediate !== false;
    if (goesOn && view && this.#container)
      this.#container = await rebaseContainer(surroundings, this.#container, view.record, this.#options());
    else await this.#drop();
  }

  /** The container stays when the build ends, for those who look into what failed. */
  async keep(): Promise<void> {
    const { id } = await this.ensure();
    this.#session.workspace.keepContainer(id);
  }

  async #drop(): Promise<void> {
    const container = this.#container;
    this.#container = undefined;
    this.#rootfs = '';
    if (!container) return;
    const { workspace, options } = this.#session;
    if (options.removeIntermediate === false) workspace.keepContainer(container.id);
    else await workspace.removeContainer(container.id);
  }
}
