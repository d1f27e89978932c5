import { basename } from 'node:path';
import { dateText } from '../commit/commit.ts';
import { prependHistory } from '../container/config.ts';
import type { CommitResult } from '../container/contract.ts';
import type { Instruction } from '../parse/instruction.ts';
import type { Effects, ResolvedCopy } from '../plan/apply.ts';
import type { StageState } from '../plan/stage-state.ts';
import type { Stage } from '../plan/stages.ts';
import { copyStep, copySummary } from './copy-step.ts';
import { buildMetadata, createdBy } from './created-by.ts';
import { destinationOf } from './destination.ts';
import { ensureDirectory } from './directories.ts';
import type { EventLayer } from './events.ts';
import type { StageLog } from './log.ts';
import { mountChecksums } from './mounts/checksums.ts';
import { RememberedCopy } from './remembered-copy.ts';
import { runStep } from './run-step.ts';
import type { BuildSession, StageResult } from './session.ts';
import { commitStage, type StageCommitOptions } from './stage-commit.ts';
import type { StageContainer } from './stage-container.ts';
import type { InputCollector } from './step-inputs.ts';

/** One instruction on its way through a stage. */
export interface Step {
  readonly instruction: Instruction;
  readonly effects: Effects;
  readonly isLastInstruction: boolean;
  /** The last instruction of the last stage. */
  readonly isLastStep: boolean;
  /** A RUN comes later, or nothing at all. */
  readonly preservesVolumes: boolean;
}

/** What executing steps with and without layers has in common. */
export class StageRun {
  readonly session: BuildSession;
  readonly stage: Stage;
  readonly state: StageState;
  readonly container: StageContainer;
  readonly log: StageLog;
  readonly isLast: boolean;
  /** The name the stage's image gets; empty but for the last stage. */
  readonly name: string;
  /** What the step in hand is made from, where somebody wants to know. */
  inputs: InputCollector | undefined;
  didExecute = false;
  link = false;
  #committed: CommitResult | undefined;
  #copied: RememberedCopy | undefined;

  constructor(given: {
    readonly session: BuildSession;
    readonly stage: Stage;
    readonly state: StageState;
    readonly container: StageContainer;
    readonly log: StageLog;
  }) {
    this.session = given.session;
    this.stage = given.stage;
    this.state = given.state;
    this.container = given.container;
    this.log = given.log;
    this.isLast = given.stage.index === given.session.stages.length - 1;
    this.name = this.isLast ? given.session.options.output : '';
  }

  /** Does what the step wants done to the file system, and gives the summary of added content. */
  async execute(step: Step): Promise<string> {
    const { instruction, effects } = step;
    this.container.noteWorkingDirectory(effects.run !== undefined);
    if (effects.run) {
      const mounted = await this.container.mounted();
      const later = this.stage.instructions.slice(this.stage.instructions.indexOf(instruction) + 1);
      const run = { ...effects.run, anotherFollows: later.some(({ kind }) => kind === 'run') };
      await runStep(this.session, this.stage, this.state, run, mounted, this.log);
      return '';
    }
    if (effects.copy) return this.#copy(effects.copy, step.isLastStep);
    if (this.session.options.layers) return '';
    if (effects.volumes && step.preservesVolumes)
      for (const path of effects.volumes) ensureDirectory(await this.container.mounted(), path, undefined);
    if (instruction.kind === 'workdir') await this.container.mounted();
    return '';
  }

  /** The summary of what COPY or ADD would bring. No container is made for it. */
  async summary(copy: ResolvedCopy): Promise<string> {
    this.#noteRules(copy);
    this.link = copy.link && this.session.options.layers;
    const container = async () => (await this.container.mounted()).container;
    return copySummary(this.session, this.stage, container, copy, this.#onContent());
  }

  async #copy(copy: ResolvedCopy, isLastStep: boolean): Promise<string> {
    const { options, surroundings } = this.session;
    this.link = copy.link && options.layers;
    if (copy.link && !options.layers)
      surroundings.onWarning?.('--link is not supported when building without --layers, ignoring --link');
    this.#noteRules(copy);
    const { container } = await this.container.mounted();
    const reuse = this.#ownsContainer() ? await this.#remembered(copy) : undefined;
    const collect = this.#onContent();
    const outcome = await copyStep(this.session, this.stage, container, copy, {
      link: this.link,
      linkHistorySuffix: buildMetadata(options, isLastStep, true),
      ...(reuse ? { reuse } : {}),
      onContent: (...content) => {
        reuse?.onContent(...content);
        collect?.(...content);
      },
    });
    this.#copied = reuse;
    this.container.replace(outcome.container);
    return outcome.summary;
  }

  #remembered(copy: ResolvedCopy): Promise<RememberedCopy | undefined> {
    return RememberedCopy.open(this.session, this.container, copy, this.state.config.WorkingDir ?? '');
  }

  #noteRules({ from, sources }: ResolvedCopy): void {
    const { path, patterns } = this.session.ignore;
    if (from === undefined && sources.length > 0 && path !== undefined)
      this.inputs?.other(`the ignore file ${basename(path)}`, patterns);
  }

  #onContent(): InputCollector['file'] | undefined {
    this.inputs?.restart();
    return this.inputs?.file.bind(this.inputs);
  }

  /** The history line of a step. */
  async createdBy(step: Step | undefined, contentSummary: string, isLastStep: boolean): Promise<string> {
    const run = step?.effects.run;
    const checksums = run ? await mountChecksums(this.session, this.stage, run, this.#onContent()) : [];
    this.inputs?.mounts(checksums);
    return createdBy(step?.instruction, {
      state: this.state,
      options: this.session.options,
      contentSummary,
      destination: step?.effects.copy?.destination,
      isLastStep,
      mountChecksums: checksums.map(([, checksum]) => checksum),
      link: this.link,
    });
  }

  async commit(step: Omit<StageCommitOptions, 'link' | 'ownsContainer' | 'temporary'>): Promise<string> {
    const { layers, saveStages } = this.session.options;
    this.#committed = await commitStage(this.session, this.container, this.state, {
      ...step,
      link: this.link,
      ownsContainer: this.#ownsContainer(),
      temporary: !(this.isLast || layers || saveStages),
    });
    const { imageId, topLayer } = this.#committed;
    if (topLayer !== undefined) this.#copied?.save(topLayer);
    this.#copied = undefined;
    if (this.session.log.listens) this.log.committed(imageId, step.name, await this.#eventLayer(topLayer));
    return imageId;
  }

  /** True where the container goes away after the commit, and nobody reads its files. */
  #ownsContainer(): boolean {
    const { layers, removeIntermediate } = this.session.options;
    return removeIntermediate !== false && (layers || !this.#leavesFiles());
  }

  /** Other stages or outputs read the files of this one. */
  #leavesFiles(): boolean {
    const { options, graph } = this.session;
    const isRead = graph.needs.some((needs) => needs.files.has(this.stage.index));
    return isRead || (this.isLast && (options.outputs?.length ?? 0) > 0);
  }

  async #eventLayer(id: string | undefined): Promise<EventLayer | undefined> {
    const record = id === undefined ? undefined : await this.session.surroundings.store.layers.get(id);
    if (!record) return undefined;
    const { diffId, diffSize = -1 } = record;
    return { id: record.id, ...(diffId ? { diffId } : {}), sizeBytes: diffSize };
  }

  /** Notes the line of a step in the history of the image that a later step makes. */
  async postpone(createdByLine: string): Promise<void> {
    const { timestampSeconds, sourceDateEpochSeconds } = this.session.options;
    // Buildah leaves the clock's time here with --source-date-epoch, so that no two of its builds are the same.
    const seconds = timestampSeconds ?? sourceDateEpochSeconds;
    const created = seconds === undefined ? this.session.surroundings.now() : new Date(seconds * 1000);
    const entry = { created: dateText(created), created_by: createdByLine };
    this.container.replace(prependHistory(entry)(await this.container.ensure()));
  }

  async tag(imageId: string, name: string): Promise<void> {
    if (name) await destinationOf(this.session, name).tag(imageId);
  }

  /** What other stages and the caller get to know. */
  async result(imageId: string, onlyBaseImage = false): Promise<StageResult> {
    const view = imageId ? await this.session.views.byId(imageId) : undefined;
    const container =
      !this.session.options.layers && this.#leavesFiles() ? await this.container.ensure() : undefined;
    const known = this.#committed?.imageId === imageId ? this.#committed : view;
    return {
      imageId,
      ...(view ? { view } : {}),
      ...(known ? { digest: known.digest, manifest: known.manifest, mediaType: known.mediaType } : {}),
      ...(container ? { container } : {}),
      onlyBaseImage,
      didExecute: this.didExecute,
    };
  }
}
