import type { Platform } from '../../image/platform.ts';
import type { TransferEvent } from '../../transport/contract.ts';

/** A stage as the plan has it, before anything runs. */
export interface PlannedStage {
  /** Position in the Containerfile, from 0. */
  readonly stage: number;
  /** Name of `AS`, else the index as text. */
  readonly name: string;
  /** The base as FROM names it, variables replaced. */
  readonly base: string;
  /** Stages that must be finished first. */
  readonly needs: readonly number[];
  /** The result does not need it. */
  readonly skipped: boolean;
}

/** Where a step stands. Steps count from 1 and FROM is the first, as in the step lines. */
export interface StepPlace {
  readonly stage: number;
  readonly step: number;
}

/** The layer that a committed image adds. */
export interface EventLayer {
  readonly id: string;
  readonly diffId?: string;
  /** Of the plain tar; -1 when unknown. */
  readonly sizeBytes: number;
}

/** What happens in a build, in order; events of stages that run at once are interleaved. */
export type BuildEventBody =
  | {
      readonly type: 'build-started';
      readonly platform: Platform;
      /** RFC 3339. */
      readonly startedAt: string;
      readonly stages: readonly PlannedStage[];
    }
  | {
      readonly type: 'build-done';
      readonly imageId: string;
      readonly digest?: string;
      readonly names: readonly string[];
      readonly durationMs: number;
    }
  | { readonly type: 'build-failed'; readonly message: string; readonly durationMs: number }
  | { readonly type: 'stage-started'; readonly stage: number; readonly name: string }
  | { readonly type: 'stage-skipped'; readonly stage: number; readonly name: string }
  | {
      readonly type: 'stage-done';
      readonly stage: number;
      readonly name: string;
      /** Empty where no image was made of the stage. */
      readonly imageId: string;
      readonly durationMs: number;
    }
  | (StepPlace & {
      readonly type: 'step-started';
      /** Known so far; a base image's ONBUILD may add to it. */
      readonly total: number;
      /** The text of the step line. */
      readonly text: string;
      readonly file?: string;
      readonly line?: number;
    })
  | (StepPlace & { readonly type: 'step-cached'; readonly imageId: string; readonly durationMs: number })
  | (StepPlace & { readonly type: 'step-done'; readonly imageId?: string; readonly durationMs: number })
  | (StepPlace & {
      readonly type: 'step-failed';
      readonly message: string;
      readonly exitCode?: number;
      readonly durationMs: number;
    })
  | (StepPlace & {
      readonly type: 'output';
      readonly stream: 'stdout' | 'stderr';
      /** What a command wrote, as it came: any number of lines, or a part of one. */
      readonly text: string;
    })
  | (StepPlace & {
      readonly type: 'image-committed';
      readonly imageId: string;
      /** Empty for intermediate images. */
      readonly name: string;
      /** Absent where the step changed no file. */
      readonly layer?: EventLayer;
    })
  /** Pulls, pushes and remote caches. */
  | { readonly type: 'transfer'; readonly transfer: TransferEvent }
  | { readonly type: 'status'; readonly text: string }
  | { readonly type: 'warning'; readonly text: string };

export type BuildEvent = BuildEventBody & {
  /** Milliseconds since the build began. */
  readonly atMs: number;
};

/** Must neither throw nor wait: the build goes on when it returns. */
export type OnBuildEvent = (event: BuildEvent) => void;
