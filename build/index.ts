export { addToContainer } from './add/add.ts';
export type { AddOptions, AddResult, AddSource } from './add/contract.ts';
export { commitContainer, commitToStore } from './commit/commit.ts';
export type { Difference } from './compare/difference.ts';
export { compareImages } from './compare/images.ts';
export type {
  BuildSurroundings,
  CommitOptions,
  CommitResult,
  CreateWorkingContainerOptions,
  PullPolicy,
  WorkingContainer,
} from './container/contract.ts';
export { createContainer } from './container/create.ts';
export { withMount } from './container/mount.ts';
export { pullImage } from './container/pull.ts';
export { openContainer, saveContainer } from './container/state.ts';
export { BuildError, type BuildErrorCode } from './error.ts';
export { buildImage } from './exec/build.ts';
export type {
  BuildEvent,
  BuildEventBody,
  EventLayer,
  OnBuildEvent,
  PlannedStage,
  StepPlace,
} from './exec/events.ts';
export type {
  AdditionalContext,
  BuildOptions,
  BuildOutput,
  BuildResult,
  ContainerfileText,
  RunSettings,
} from './exec/options.ts';
export type { OnStepInputs, StepInputs } from './exec/step-inputs.ts';
export { expandWord, expandWords, type Variables } from './parse/expand.ts';
export type * from './parse/instruction.ts';
export { type Containerfile, parseContainerfile } from './parse/parse.ts';
export { type StageGraph, stageGraph } from './plan/graph.ts';
export { type Stage, splitStages } from './plan/stages.ts';
export { explain } from './record/explain.ts';
export { findRecord, keepRecord, recordsOf } from './record/keep.ts';
export type { BuildIdentity, BuildRecord, Explanation } from './record/record.ts';
export { BuildRecorder } from './record/recorder.ts';
export type { RunRequest, RunResult } from './run/contract.ts';
export { runCommand } from './run/run.ts';
