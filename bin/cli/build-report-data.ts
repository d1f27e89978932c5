import type { BuildEvent, PlannedStage } from '../../build/exec/events.ts';
import type { LayerContents } from '../../build/record/layer-files.ts';
import type { Explanation } from '../../build/record/record.ts';

/** A step on the time line. */
export interface ReportStep {
  readonly stage: number;
  readonly step: number;
  readonly text: string;
  readonly startMs: number;
  endMs?: number;
  outcome?: 'done' | 'cached' | 'failed';
  layerBytes?: number;
  message?: string;
}

/** What the report shows of one platform's build. */
export interface ReportBuild {
  readonly platform: string;
  readonly startedAt: string;
  readonly stages: readonly PlannedStage[];
  readonly steps: ReportStep[];
  readonly warnings: string[];
  layers: readonly LayerContents[];
  explanations?: readonly Explanation[];
  imageId?: string;
  names: readonly string[];
  failure?: string;
  durationMs: number;
}

/** Gathers the events of one or more builds. */
export class ReportData {
  readonly builds: ReportBuild[] = [];

  readonly onEvent = (event: BuildEvent): void => {
    if (event.type === 'build-started') this.builds.push(newBuild(event));
    const build = this.builds.at(-1);
    if (build) take(build, event);
  };

  /** Of the build whose events came last. */
  addDetails(details: { layers?: readonly LayerContents[]; explanations?: readonly Explanation[] }): void {
    const build = this.builds.at(-1);
    if (build) Object.assign(build, details);
  }
}

function newBuild({
  platform,
  startedAt,
  stages,
}: Extract<BuildEvent, { type: 'build-started' }>): ReportBuild {
  const { os, architecture, variant } = platform;
  return {
    platform: [os, architecture, variant].filter(Boolean).join('/'),
    startedAt,
    stages,
    steps: [],
    warnings: [],
    layers: [],
    names: [],
    durationMs: 0,
  };
}

function take(build: ReportBuild, event: BuildEvent): void {
  switch (event.type) {
    case 'step-started':
      build.steps.push({ stage: event.stage, step: event.step, text: event.text, startMs: event.atMs });
      return;
    case 'step-done':
    case 'step-cached':
    case 'step-failed': {
      const step = stepAt(build, event);
      if (!step) return;
      step.endMs = event.atMs;
      step.outcome = event.type === 'step-done' ? 'done' : event.type === 'step-cached' ? 'cached' : 'failed';
      if (event.type === 'step-failed') step.message = event.message;
      return;
    }
    case 'image-committed': {
      const step = stepAt(build, event);
      if (step && event.layer) step.layerBytes = event.layer.sizeBytes;
      return;
    }
    case 'warning':
      build.warnings.push(event.text);
      return;
    case 'build-done':
      build.imageId = event.imageId;
      build.names = event.names;
      build.durationMs = event.durationMs;
      return;
    case 'build-failed':
      build.failure = event.message;
      build.durationMs = event.durationMs;
      return;
    default:
  }
}

function stepAt(build: ReportBuild, place: { readonly stage: number; readonly step: number }) {
  return build.steps.find((step) => step.stage === place.stage && step.step === place.step);
}
