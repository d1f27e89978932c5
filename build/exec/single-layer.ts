import type { StageResult } from './session.ts';
import type { StageRun, Step } from './stage-run.ts';

/** One layer for the whole stage: the histories of its steps are collected, the last step commits. */
export class SingleLayerSteps {
  readonly #run: StageRun;
  #addedLayer = false;

  constructor(run: StageRun) {
    this.#run = run;
  }

  async step(step: Step): Promise<StageResult> {
    const run = this.#run;
    run.didExecute = true;
    if (step.effects.run || step.effects.copy) this.#addedLayer = true;
    const summary = await run.execute(step);
    const createdBy = await run.createdBy(step, summary, step.isLastStep);
    if (!step.isLastInstruction) {
      await run.postpone(createdBy);
      return run.result('');
    }
    if (!this.#isNeeded()) return run.result('');
    if (run.isLast) run.log.commit(run.name);
    const imageId = await run.commit({
      createdBy,
      emptyLayer: !this.#addedLayer,
      name: run.name,
      squash: run.session.options.squash ?? false,
      isLastStep: step.isLastStep,
      scan: step.isLastStep,
    });
    run.log.image(imageId);
    return run.result(imageId);
  }

  /** Of a stage whose files alone are read, no image is made. */
  #isNeeded(): boolean {
    const { session, stage, isLast } = this.#run;
    const isBase = session.graph.needs.some((needs) => needs.base === stage.index);
    return isLast || isBase || (session.options.saveStages ?? false);
  }
}
