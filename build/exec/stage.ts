import { readFileSync } from 'node:fs';
import { posix } from 'node:path';
import type { ImageRecord } from '../../store/storage/contract.ts';
import { addToContainer } from '../add/add.ts';
import { commitContainer } from '../commit/commit.ts';
import { prependHistory, setPlatform } from '../container/config.ts';
import type { CommitResult, WorkingContainer } from '../container/contract.ts';
import { createFromRecord } from '../container/create.ts';
import { BuildError } from '../error.ts';
import type { Instruction } from '../parse/instruction.ts';
import { parseContainerfile } from '../parse/parse.ts';
import { applyInstruction, type Effects } from '../plan/apply.ts';
import type { StageState } from '../plan/stage-state.ts';
import { newStageState, type Stage } from '../plan/stages.ts';
import type { SbomOptions } from '../sbom/options.ts';
import type { ScanResult } from '../sbom/scan.ts';
import { findCachedStep } from './cache.ts';
import { type CopyOutcome, copyStep } from './copy-step.ts';
import { buildMetadata, createdBy } from './created-by.ts';
import { destinationOf } from './destination.ts';
import { ensureDirectory } from './directories.ts';
import type { ImageView } from './image-view.ts';
import { StageLog, stepName, stepText } from './log.ts';
import { bindMountChecksums, usesFreshStage } from './mounts/checksums.ts';
import { RemoteCache } from './remote-cache.ts';
import { runStep } from './run-step.ts';
import type { BuildSession, StageResult } from './session.ts';
import { configuredContainer, formatWarnings } from './step-config.ts';
import { stageInstructions } from './synthetic.ts';

/** Where a stage has arrived: the image its next step builds on, and the container on top of it once one is needed. */
interface Position {
  /** Undefined: scratch. */
  readonly view?: ImageView;
  /** What the container is made from, as it is written into histories. */
  readonly from: string;
  readonly keepBaseAnnotations: boolean;
}

/** Builds one stage: executes its instructions in order, with or without an image for each. */
export class StageBuilder {
  readonly #session: BuildSession;
  readonly #stage: Stage;
  readonly #state: StageState;
  readonly #isLast: boolean;
  readonly #name: string;
  #instructions: readonly Instruction[] = [];
  #log!: StageLog;
  #position: Position = { from: 'scratch', keepBaseAnnotations: false };
  #container: WorkingContainer | undefined;
  #rootfs = '';
  #searching: boolean;
  #didExecute = false;
  #addedLayer = false;
  #link = false;
  #committed: CommitResult | undefined;

  constructor(session: BuildSession, stage: Stage) {
    this.#session = session;
    this.#stage = stage;
    this.#isLast = stage.index === session.stages.length - 1;
    this.#name = this.#isLast ? session.options.output : '';
    this.#searching = session.options.layers && session.options.useCache;
    this.#state = newStageState(
      stage,
      { arguments: session.options.arguments, builtins: session.builtins },
      session.options.defaultEnvironment ?? [],
    );
  }

  async run(): Promise<StageResult> {
    await this.#start();
    if (this.#instructions.length === 0) return this.#withoutSteps();
    let result: StageResult | undefined;
    for (const [at, instruction] of this.#instructions.entries()) {
      this.#session.surroundings.signal?.throwIfAborted();
      result = await this.#step(instruction, at === this.#instructions.length - 1, at);
      this.#options.resources?.step();
    }
    return result as StageResult;
  }

  get #options() {
    return this.#session.options;
  }

  /** Finds the base image, takes its configuration over and prints the FROM line. */
  async #start(): Promise<void> {
    const { base } = this.#session.graph.needs[this.#stage.index] ?? {};
    const record = base === undefined ? await this.#pullBase() : await this.#stageImage(base);
    const view = record && (await this.#session.views.get(record));
    if (record && !view)
      throw new BuildError('pull-failed', `${this.#stage.base} is not an image of one platform`);
    const from = base === undefined ? this.#baseReference() : (record?.id ?? 'scratch');
    this.#position = { ...(view ? { view } : {}), from, keepBaseAnnotations: base !== undefined };
    const initial = view?.config.config ?? (this.#options.compatScratchConfig ? {} : { WorkingDir: '/' });
    const triggers = this.#state.startFrom(initial, { inheritLabels: this.#options.inheritLabels !== false });
    if (view?.config.author) this.#state.author = view.config.author;
    this.#instructions = [...parseTriggers(triggers), ...stageInstructions(this.#session, this.#stage)];
    this.#log = this.#makeLog();
    this.#log.step(`FROM ${this.#shownBase(base === undefined ? undefined : record?.id)}`);
  }

  #makeLog(): StageLog {
    const { options, stages } = this.#session;
    const stagePrefix = stages.length > 1 ? `[${this.#stage.index + 1}/${stages.length}] ` : '';
    return new StageLog(options.quiet ? undefined : options.stdout, {
      prefix: (options.logPrefix ?? '') + stagePrefix,
      total: this.#instructions.length + 1,
      showIds: !options.hideImageIds,
    });
  }

  /** The image reference behind FROM: a context of that name, or the name itself. */
  #baseReference(): string {
    const context = this.#session.contexts.get(this.#stage.base);
    if (context && context.kind !== 'image')
      throw new BuildError(
        'bad-context',
        `build context "${this.#stage.base}" is not an image, can not be used for FROM "${this.#stage.base}"`,
      );
    return context?.reference ?? this.#stage.base;
  }

  async #pullBase(): Promise<ImageRecord | undefined> {
    const reference = this.#baseReference();
    if (reference === 'scratch') return undefined;
    try {
      return await this.#session.pull(reference, this.#session.platformOf(this.#stage));
    } catch (cause) {
      if (!(cause instanceof BuildError)) throw cause;
      const { code, message, hint, retryable, facts } = cause;
      throw new BuildError(code, `creating build container: ${message}`, { cause, hint, retryable, facts });
    }
  }

  async #stageImage(index: number): Promise<ImageRecord | undefined> {
    const result = this.#session.results.get(index);
    if (!result?.imageId)
      throw new BuildError('no-such-stage', `the stage "${this.#stage.base}" has not been built`);
    return this.#session.surroundings.store.images.get(result.imageId);
  }

  #shownBase(imageId: string | undefined): string {
    const { platform, named, name } = this.#stage;
    return `${platform ? `--platform=${platform} ` : ''}${imageId ?? this.#baseReference()}${named ? ` AS ${name}` : ''}`;
  }

  async #step(instruction: Instruction, isLastInstruction: boolean, at: number): Promise<StageResult> {
    this.#log.step(stepText(instruction));
    const isLastStep = isLastInstruction && this.#isLast;
    try {
      const effects = applyInstruction(this.#state, instruction, this.#stage.escape);
      this.#warn(instruction);
      return this.#options.layers
        ? await this.#layeredStep(instruction, effects, isLastInstruction, isLastStep, at)
        : await this.#singleLayerStep(instruction, effects, isLastInstruction, isLastStep, at);
    } catch (error) {
      throw atStep(error, instruction);
    }
  }

  #warn(instruction: Instruction): void {
    if (!['shell', 'healthcheck', 'onbuild'].includes(instruction.kind)) return;
    for (const text of formatWarnings(this.#state, this.#options.format, instruction.kind as 'shell'))
      this.#session.surroundings.onWarning?.(text);
  }

  /** Executes what the step wants done to the file system, and gives the summary of added content. */
  async #execute(instruction: Instruction, effects: Effects, at: number): Promise<string> {
    if (effects.run) {
      await runStep(this.#session, this.#stage, this.#state, effects.run, await this.#mounted());
      return '';
    }
    if (effects.copy)
      return (await this.#copy(effects.copy, false, at === this.#instructions.length - 1 && this.#isLast))
        .summary;
    const later = this.#instructions.slice(at + 1);
    const runsFollow = later.length === 0 || later.some((next) => next.kind === 'run');
    if (this.#options.layers) return '';
    if (effects.volumes && runsFollow)
      for (const path of effects.volumes) ensureDirectory(await this.#mounted(), path, undefined);
    if (instruction.kind === 'workdir')
      ensureDirectory(await this.#mounted(), this.#state.config.WorkingDir, this.#state.config.User);
    return '';
  }

  async #copy(
    copy: NonNullable<Effects['copy']>,
    dryRun: boolean,
    isLastStep: boolean,
  ): Promise<CopyOutcome> {
    const mounted = await this.#mounted();
    this.#link = copy.link && this.#options.layers;
    if (copy.link && !this.#options.layers)
      this.#session.surroundings.onWarning?.(
        '--link is not supported when building without --layers, ignoring --link',
      );
    const outcome = await copyStep(this.#session, this.#stage, mounted.container, copy, {
      dryRun,
      link: this.#link,
      linkHistorySuffix: buildMetadata(this.#options, isLastStep, true),
    });
    if (!dryRun) this.#container = outcome.container;
    return outcome;
  }

  /** The container on top of the position, mounted, with the working directory and the volumes there. */
  async #mounted(): Promise<{ readonly container: WorkingContainer; readonly rootfs: string }> {
    const container = await this.#ensureContainer();
    if (this.#rootfs === '') {
      this.#rootfs = await this.#session.workspace.mountLayer(container.layerId, false);
      for (const path of Object.keys(this.#position.view?.config.config?.Volumes ?? {}))
        ensureDirectory({ rootfs: this.#rootfs, container }, path, undefined);
    }
    const mounted = { container, rootfs: this.#rootfs };
    const { WorkingDir, User } = this.#state.config;
    if (WorkingDir) ensureDirectory(mounted, WorkingDir, User);
    return mounted;
  }

  async #ensureContainer(): Promise<WorkingContainer> {
    if (this.#container) return this.#container;
    const { surroundings, workspace, options } = this.#session;
    const { view, from, keepBaseAnnotations } = this.#position;
    this.#container = await createFromRecord(
      { ...surroundings, platform: this.#session.platformOf(this.#stage) },
      from === 'scratch' ? '' : from,
      view?.record,
      {
        from,
        format: options.format,
        keepBaseAnnotations,
        bareScratchConfig: options.compatScratchConfig,
        isolation: options.run.isolation,
        ...options.run.stored,
        args: Object.fromEntries(this.#state.arguments),
      },
    );
    if (!view) this.#container = setPlatform(this.#session.platformOf(this.#stage))(this.#container);
    workspace.addContainer(this.#container);
    return this.#container;
  }

  // One layer for the whole stage: histories of the steps are collected, the last step commits.

  async #singleLayerStep(
    instruction: Instruction,
    effects: Effects,
    isLastInstruction: boolean,
    isLastStep: boolean,
    at: number,
  ): Promise<StageResult> {
    this.#didExecute = true;
    if (effects.run || effects.copy) this.#addedLayer = true;
    const summary = await this.#execute(instruction, effects, at);
    const line = await this.#createdBy(instruction, summary, isLastStep);
    if (!isLastInstruction) {
      this.#container = prependHistory({ created: this.#historyTime(), created_by: line })(
        await this.#ensureContainer(),
      );
      return this.#result('');
    }
    if (!this.#isLast && !this.#isBaseOfAnother() && !this.#options.saveStages) return this.#result('');
    if (this.#isLast) this.#log.commit(this.#name);
    const imageId = await this.#commit(line, {
      emptyLayer: !this.#addedLayer,
      name: this.#name,
      squash: this.#options.squash ?? false,
      isLastStep,
      scan: isLastStep,
    });
    this.#log.image(imageId);
    return this.#result(imageId);
  }

  #historyTime(): string {
    const { timestampSeconds } = this.#options;
    return (
      timestampSeconds === undefined ? this.#session.surroundings.now() : new Date(timestampSeconds * 1000)
    ).toISOString();
  }

  #isBaseOfAnother(): boolean {
    return this.#session.graph.needs.some((needs) => needs.base === this.#stage.index);
  }

  #filesAreUsed(): boolean {
    return this.#session.graph.needs.some((needs) => needs.files.has(this.#stage.index));
  }

  // One image for each step: looked up among those of earlier builds, else made.

  async #layeredStep(
    instruction: Instruction,
    effects: Effects,
    isLastInstruction: boolean,
    isLastStep: boolean,
    at: number,
  ): Promise<StageResult> {
    const { options } = this.#session;
    if (options.removeIntermediate === false) await this.#ensureContainer();
    const addsLayer = effects.run !== undefined || effects.copy !== undefined;
    const fresh = effects.run ? await usesFreshStage(this.#session, this.#stage, effects.run) : false;
    const mayReuse = this.#searching && !fresh && !(options.squash && isLastStep);
    let line: string | undefined;
    let cached: ImageView | undefined;
    if (effects.copy) this.#link = effects.copy.link;
    const remote = new RemoteCache(this.#session, this.#log);
    if (mayReuse) {
      const summary = effects.copy ? (await this.#copy(effects.copy, true, isLastStep)).summary : '';
      line = await this.#createdBy(instruction, summary, isLastStep, effects);
      cached = await this.#lookUp(line, addsLayer);
      if (!cached && remote.pulls && (await remote.pull(line, addsLayer, this.#position.view)))
        cached = await this.#lookUp(line, addsLayer);
    }
    const name = isLastInstruction ? this.#name : '';
    const { imageId, madeBy } = cached
      ? { imageId: await this.#reuse(cached, name, isLastInstruction), madeBy: line as string }
      : await this.#make(instruction, effects, { line, addsLayer, name, isLastStep, isLastInstruction, at });
    if (remote.pushes && !remote.pulled) await remote.push(madeBy, addsLayer, this.#position.view, imageId);
    const final =
      isLastStep && (options.squash || options.sbom)
        ? await this.#commitAgain(instruction, name, addsLayer, imageId)
        : imageId;
    this.#log.image(final);
    await this.#moveTo(final, isLastInstruction);
    this.#link = false;
    return this.#result(final);
  }

  async #lookUp(line: string, addsLayer: boolean): Promise<ImageView | undefined> {
    const { surroundings, views, options } = this.#session;
    const platform = this.#session.platformOf(this.#stage);
    const found = await findCachedStep(surroundings.store, views, {
      base: this.#position.view,
      createdBy: line,
      addsLayer,
      format: options.format,
      os: platform.os,
      architecture: platform.architecture,
      cacheTtlMs: options.cacheTtlMs,
      now: surroundings.now(),
    });
    options.debug?.(
      found ? `Found a cache hit in the first iteration with id ${found.record.id}` : 'Cache missed',
    );
    return found;
  }

  async #reuse(cached: ImageView, name: string, isLastInstruction: boolean): Promise<string> {
    this.#log.usingCache(cached.record.id);
    if (isLastInstruction && this.#isLast) this.#log.commit(name);
    if (name) await destinationOf(this.#session, name).tag(cached.record.id);
    return cached.record.id;
  }

  async #make(
    instruction: Instruction,
    effects: Effects,
    step: {
      readonly line: string | undefined;
      readonly addsLayer: boolean;
      readonly name: string;
      readonly isLastStep: boolean;
      readonly isLastInstruction: boolean;
      readonly at: number;
    },
  ): Promise<{ readonly imageId: string; readonly madeBy: string }> {
    this.#searching = false;
    this.#didExecute = true;
    const summary = await this.#execute(instruction, effects, step.at);
    const madeBy = step.line ?? (await this.#createdBy(instruction, summary, step.isLastStep, effects));
    if (step.isLastInstruction && this.#isLast) this.#log.commit(this.#name);
    const imageId = await this.#commit(madeBy, {
      emptyLayer: !step.addsLayer,
      name: step.name,
      squash: false,
      isLastStep: step.isLastStep,
    });
    return { imageId, madeBy };
  }

  /** The last step's image once more: squashed, or with the list of its files. */
  async #commitAgain(
    instruction: Instruction,
    name: string,
    addsLayer: boolean,
    imageId: string,
  ): Promise<string> {
    await this.#moveTo(imageId, false);
    const squash = this.#options.squash ?? false;
    return this.#commit(await this.#createdBy(instruction, '', true), {
      emptyLayer: !squash || !addsLayer,
      name,
      squash,
      isLastStep: true,
      scan: true,
    });
  }

  /** The image becomes what the next step builds on; the container that led to it is done. */
  async #moveTo(imageId: string, isLastInstruction: boolean): Promise<void> {
    const view = await this.#session.views.byId(imageId);
    if (!view && !isLastInstruction)
      throw new BuildError('missing-file', `image "${imageId}" disappeared while it was built on`);
    await this.#dropContainer();
    this.#position = { ...(view ? { view } : {}), from: imageId, keepBaseAnnotations: true };
  }

  async #dropContainer(): Promise<void> {
    const container = this.#container;
    this.#container = undefined;
    this.#rootfs = '';
    if (!container) return;
    if (this.#options.removeIntermediate === false) this.#session.workspace.keepContainer(container.id);
    else await this.#session.workspace.removeContainer(container.id);
  }

  async #createdBy(
    instruction: Instruction | undefined,
    contentSummary: string,
    isLastStep: boolean,
    effects?: Effects,
  ): Promise<string> {
    const mountChecksums = effects?.run
      ? await bindMountChecksums(this.#session, this.#stage, effects.run)
      : [];
    return createdBy(instruction, {
      state: this.#state,
      options: this.#options,
      contentSummary,
      isLastStep,
      mountChecksums,
      link: this.#link,
    });
  }

  async #commit(
    line: string,
    step: {
      readonly emptyLayer: boolean;
      readonly name: string;
      readonly squash: boolean;
      readonly isLastStep: boolean;
      /** List the files of the image as `--sbom` says. */
      readonly scan?: boolean;
    },
  ): Promise<string> {
    const { options, surroundings } = this.#session;
    await using scanned = step.scan && options.sbom ? await this.#scan(options.sbom) : undefined;
    if (step.squash) await this.#store(scanned?.imageFiles ?? {});
    const container = configuredContainer(await this.#ensureContainer(), this.#state, options, {
      createdBy: line,
      name: step.name,
      isLastStep: step.isLastStep,
    });
    const destination = step.name ? destinationOf(this.#session, step.name) : undefined;
    const committed = await commitContainer(surroundings, container, await destination?.reference(), {
      format: options.format,
      squash: step.squash,
      emptyLayer: step.emptyLayer,
      omitLayerHistoryEntry: this.#link,
      omitHistory: options.omitHistory,
      timestampSeconds: options.timestampSeconds,
      sourceDateEpochSeconds: options.sourceDateEpochSeconds,
      rewriteTimestamp: options.rewriteTimestamp,
      consumeContainer: options.layers && !step.squash && !step.emptyLayer && destination?.isStore !== false,
      unsetAnnotations: options.unsetAnnotations,
      annotations: step.isLastStep ? options.annotations : [],
      createdAnnotation: options.createdAnnotation,
      setParent: options.compatSetParent,
      classicOmissions: options.compatLayerOmissions,
      extraFiles: step.squash ? undefined : scanned?.imageFiles,
      names: destination?.isStore ? [destination.storedName] : [],
      signers: step.isLastStep ? options.signers : undefined,
    });
    this.#committed = committed;
    options.debug?.(`created new image ID "${committed.imageId}"`);
    return committed.imageId;
  }

  async #scan(sbom: SbomOptions): Promise<ScanResult> {
    const { surroundings, options } = this.#session;
    const { scanRootfs } = await import('../sbom/scan.ts');
    return scanRootfs(surroundings, (await this.#mounted()).rootfs, sbom, {
      isolation: options.run.isolation,
      runtime: options.run.runtime,
      pullPolicy: options.pullPolicy,
      stderr: options.stderr,
    });
  }

  /** Puts host files into the container. */
  async #store(files: Readonly<Record<string, string>>): Promise<void> {
    for (const [path, file] of Object.entries(files)) {
      const source = { name: posix.basename(path), data: readFileSync(file) };
      const { container } = await this.#mounted();
      await addToContainer(this.#session.surroundings, container, path, [source]);
    }
  }

  async #withoutSteps(): Promise<StageResult> {
    const { options } = this.#session;
    const { view } = this.#position;
    if (this.#isLast) this.#log.commit(this.#name);
    const changes =
      !view ||
      options.squash ||
      options.sbom ||
      [options.annotations, options.unsetEnvironment, options.unsetLabels, options.unsetAnnotations].some(
        (list) => list?.length,
      ) ||
      options.inheritLabels === false ||
      options.inheritAnnotations === false;
    let imageId: string;
    if (changes) {
      imageId = await this.#commit(await this.#createdBy(undefined, '', this.#isLast), {
        emptyLayer: !view,
        name: this.#name,
        squash: options.squash ?? false,
        isLastStep: this.#isLast,
        scan: this.#isLast,
      });
    } else {
      imageId = view.record.id;
      if (this.#name) await destinationOf(this.#session, this.#name).tag(imageId);
    }
    this.#log.image(imageId);
    return { ...(await this.#result(imageId)), onlyBaseImage: !changes };
  }

  async #result(imageId: string): Promise<StageResult> {
    const view = imageId ? await this.#session.views.byId(imageId) : undefined;
    const needsFiles = this.#filesAreUsed() || (this.#isLast && (this.#options.outputs?.length ?? 0) > 0);
    const container = !this.#options.layers && needsFiles ? await this.#ensureContainer() : undefined;
    return {
      imageId,
      ...(view ? { view, digest: view.digest, manifest: view.manifest, mediaType: view.mediaType } : {}),
      ...(this.#committed?.imageId === imageId
        ? {
            digest: this.#committed.digest,
            manifest: this.#committed.manifest,
            mediaType: this.#committed.mediaType,
          }
        : {}),
      ...(container ? { container } : {}),
      onlyBaseImage: false,
      didExecute: this.#didExecute,
    };
  }
}

function parseTriggers(triggers: readonly string[]): readonly Instruction[] {
  if (triggers.length === 0) return [];
  const { instructions } = parseContainerfile(triggers.join('\n'), { file: 'ONBUILD of the base image' });
  for (const { kind } of instructions) {
    if (kind === 'onbuild')
      throw new BuildError('syntax', "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
    if (kind === 'from' || kind === 'maintainer')
      throw new BuildError('syntax', `${kind.toUpperCase()} isn't allowed as an ONBUILD trigger`);
  }
  return instructions;
}

/** Failures name the step; the exit code of a RUN stays. */
function atStep(error: unknown, instruction: Instruction): unknown {
  if (!(error instanceof BuildError)) return error;
  return new BuildError(error.code, `building at STEP "${stepName(instruction)}": ${error.message}`, {
    cause: error,
    exitCode: error.exitCode,
    facts: { ...error.facts, path: instruction.position.file, line: instruction.position.line },
    ...(error.hint ? { hint: error.hint } : {}),
  });
}
