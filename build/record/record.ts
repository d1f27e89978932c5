import type { StepInputs } from '../exec/step-inputs.ts';

/** Why one step was executed although there was a build before. */
export interface Explanation {
  readonly stage: number;
  readonly stageName: string;
  /** From 1; FROM is the first. */
  readonly step: number;
  readonly text: string;
  readonly reasons: readonly string[];
}

/** What a build was asked for; builds with the same identity are compared. */
export interface BuildIdentity {
  /** The context as it was named: an absolute path, or a URL. */
  readonly context: string;
  readonly files: readonly string[];
  readonly target: string;
  readonly platform: string;
}

/** What is kept of one build. */
export interface BuildRecord {
  readonly version: 2;
  readonly identity: BuildIdentity;
  /** RFC 3339. */
  readonly startedAt: string;
  /** Empty where the build failed. */
  readonly imageId: string;
  readonly steps: readonly StepInputs[];
  /** The steps that were executed, compared with the build before; undefined where there was none. */
  readonly explanations?: readonly Explanation[];
}
