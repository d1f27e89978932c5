import { isContextReadAfter, writesContext } from '../plan/context-writes.ts';
import { type CacheQuery, cachedSteps } from './cache.ts';
import { type Fit, fitOf, originOf } from './cached-documents.ts';
import type { ImageView } from './image-view.ts';
import { usesFreshStage } from './mounts/checksums.ts';
import { RemoteCache } from './remote-cache.ts';
import type { StageResult } from './session.ts';
import type { StageRun, Step } from './stage-run.ts';

/** The image of an earlier build, or of another stage, that has the step. */
interface Cached {
  readonly view: ImageView;
  readonly fit: Exclude<Fit, { kind: 'none' }>;
}

interface Found {
  /** The step's history line, where it had to be known. */
  readonly line?: string;
  readonly cached?: Cached;
  /** Held while the step is made. */
  readonly claim?: Disposable;
}

/** One image for each step: looked up among those of earlier builds, else made. */
export class LayeredSteps {
  readonly #run: StageRun;
  /** False from the first step on that was not found. */
  #searching: boolean;

  constructor(run: StageRun) {
    this.#run = run;
    this.#searching = run.session.options.useCache;
  }

  async step(step: Step): Promise<StageResult> {
    const run = this.#run;
    const { options } = run.session;
    if (options.removeIntermediate === false) await run.container.ensure();
    run.link = step.effects.copy?.link ?? false;
    // Also of a step that is not executed: the directory is made for a later one.
    run.container.noteWorkingDirectory();
    const remote = new RemoteCache(run.session, run.log);
    const { line, cached, claim } = await this.#find(step, remote);
    using _claim = claim;
    const base = run.container.view;
    if (cached && this.#writesForOthers(step)) await run.execute(step);
    const { imageId, madeBy } = cached
      ? { imageId: await this.#reuse(cached, step), madeBy: line as string }
      : await this.#make(step, line);
    if (remote.pushes && !remote.pulled) await remote.push(madeBy, addsLayer(step), base, imageId);
    const final = this.#isCommittedAgain(step) ? await this.#commitAgain(step, imageId) : imageId;
    run.log.image(final);
    await run.container.moveTo(final, step.isLastInstruction);
    run.link = false;
    return run.result(final);
  }

  /** Of a cached RUN, what it writes to the context for later steps is not there without it. */
  #writesForOthers({ instruction, effects }: Step): boolean {
    const { session, stage } = this.#run;
    if (!effects.run || !writesContext(effects.run.mounts)) return false;
    return isContextReadAfter(session.stages, stage, instruction);
  }

  /** The step's history line where it had to be known, and the image of an earlier build that has it. */
  async #find(step: Step, remote: RemoteCache): Promise<Found> {
    const run = this.#run;
    const { options } = run.session;
    const { effects, isLastStep } = step;
    const fresh = effects.run ? await usesFreshStage(run.session, run.stage, effects.run) : false;
    if (fresh) run.inputs?.pass('fresh-stage');
    if (!options.useCache) run.inputs?.pass('no-cache');
    if (!this.#searching || fresh) return {};
    const isAlone = run.session.stages.length === 1;
    if (effects.copy && isAlone && !remote.pulls && !(await this.#hasCandidates(step))) {
      options.debug?.('Cache missed');
      await this.#noteExpiry(undefined, step);
      return {};
    }
    const summary = effects.copy ? await run.summary(effects.copy) : '';
    const line = await run.createdBy(step, summary, isLastStep);
    let cached = await this.#lookUp(line, step);
    if (!cached && remote.pulls && (await remote.pull({ ...this.#query(line, step), createdBy: line })))
      cached = await this.#lookUp(line, step);
    if (!cached) await this.#noteExpiry(line, step);
    return cached ? { line, cached } : this.#orWait(step, line);
  }

  /** Whoever is told what steps were made from learns that an older image was there, too. */
  async #noteExpiry(createdBy: string | undefined, step: Step): Promise<void> {
    const { session, inputs } = this.#run;
    if (!inputs || session.options.cacheTtlMs === undefined) return;
    const query = { ...this.#query(createdBy, step), cacheTtlMs: undefined };
    const found = await cachedSteps(session.surroundings.store, session.views, query).next();
    if (!found.done) inputs.pass('expired');
  }

  /** The step as another stage makes it just now, else the claim to make it. */
  async #orWait(step: Step, line: string): Promise<Found> {
    const { session, container } = this.#run;
    const key = `${container.view?.record.id ?? ''}\n${line}`;
    for (;;) {
      const made = session.stepsUnderWay.wait(key);
      if (!made) return { line, claim: session.stepsUnderWay.claim(key) };
      await made;
      const cached = await this.#lookUp(line, step);
      if (cached) return { line, cached };
    }
  }

  /** False where no image stands on the base at all: what COPY brings need not be digested to know that. */
  async #hasCandidates(step: Step): Promise<boolean> {
    const { surroundings, views } = this.#run.session;
    const found = await cachedSteps(surroundings.store, views, this.#query(undefined, step)).next();
    return !found.done;
  }

  #query(createdBy: string | undefined, step: Step): CacheQuery {
    const { session, stage, container } = this.#run;
    const { surroundings, options } = session;
    const platform = session.platformOf(stage);
    return {
      base: container.view,
      createdBy,
      addsLayer: addsLayer(step),
      format: options.format,
      os: platform.os,
      architecture: platform.architecture,
      cacheTtlMs: options.cacheTtlMs,
      now: surroundings.now(),
    };
  }

  async #lookUp(createdBy: string, step: Step): Promise<Cached | undefined> {
    const { debug } = this.#run.session.options;
    const found = await this.#bestOf(createdBy, step);
    debug?.(
      found ? `Found a cache hit in the first iteration with id ${found.view.record.id}` : 'Cache missed',
    );
    return found;
  }

  async #bestOf(createdBy: string, step: Step): Promise<Cached | undefined> {
    const { surroundings, views } = this.#run.session;
    let best: Cached | undefined;
    for await (const view of cachedSteps(surroundings.store, views, this.#query(createdBy, step))) {
      const fit = await fitOf(this.#run, step, createdBy, view);
      if (fit.kind === 'same') return { view, fit };
      if (fit.kind === 'layer') best ??= { view, fit };
    }
    return best;
  }

  async #reuse({ view, fit }: Cached, step: Step): Promise<string> {
    const run = this.#run;
    const imageId = fit.kind === 'same' ? view.record.id : await fit.write();
    // Metadata alone that had to be written is a step that was made.
    if (fit.kind === 'same' || addsLayer(step)) run.log.usingCache(imageId);
    else run.didExecute = true;
    if (step.isLastStep) run.log.commit(run.name);
    if (step.isLastInstruction && !this.#isCommittedAgain(step)) await run.tag(imageId, run.name);
    return imageId;
  }

  async #make(step: Step, line: string | undefined): Promise<{ imageId: string; madeBy: string }> {
    const run = this.#run;
    this.#searching = false;
    run.didExecute = true;
    const summary = await run.execute(step);
    const madeBy = line ?? (await run.createdBy(step, summary, step.isLastStep));
    if (step.isLastStep) run.log.commit(run.name);
    const imageId = await run.commit({
      createdBy: madeBy,
      emptyLayer: !addsLayer(step),
      name: step.isLastInstruction && !this.#isCommittedAgain(step) ? run.name : '',
      squash: false,
      isLastStep: step.isLastStep,
      origin: originOf(run, step),
    });
    return { imageId, madeBy };
  }

  #isCommittedAgain({ isLastStep }: Step): boolean {
    const { squash, sbom } = this.#run.session.options;
    return isLastStep && (squash === true || sbom !== undefined);
  }

  /** The last step's image once more: squashed, or with the list of its files. */
  async #commitAgain(step: Step, imageId: string): Promise<string> {
    const run = this.#run;
    await run.container.moveTo(imageId, false);
    const squash = run.session.options.squash ?? false;
    return run.commit({
      createdBy: await run.createdBy(step, '', true),
      emptyLayer: !squash || !addsLayer(step),
      name: run.name,
      squash,
      isLastStep: true,
      scan: true,
    });
  }
}

function addsLayer({ effects }: Step): boolean {
  return effects.run !== undefined || effects.copy !== undefined;
}
