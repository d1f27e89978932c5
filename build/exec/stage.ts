import { randomBytes } from 'node:crypto';
import { isFailedCall, SlipwayError, systemErrorText } from '../../errors.ts';
import { BuildError } from '../error.ts';
import type { Instruction } from '../parse/instruction.ts';
import { applyInstruction } from '../plan/apply.ts';
import type { StageState } from '../plan/stage-state.ts';
import { newStageState, type Stage } from '../plan/stages.ts';
import type { ImageView } from './image-view.ts';
import { LayeredSteps } from './layered.ts';
import { StageLog, stepName, stepText } from './log.ts';
import type { BuildOptions } from './options.ts';
import type { BuildSession, StageResult } from './session.ts';
import { SingleLayerSteps } from './single-layer.ts';
import { contextInstructions, findBase, type NamedBase, nameBase, parseTriggers } from './stage-base.ts';
import { StageContainer } from './stage-container.ts';
import { StageRun, type Step } from './stage-run.ts';
import { formatWarnings } from './step-config.ts';
import { tellFlags } from './step-flags.ts';
import { InputCollector, type StepInputs } from './step-inputs.ts';
import { stageInstructions } from './synthetic.ts';

/** Builds one stage: executes its instructions in order, with or without an image for each. */
export async function buildStage(session: BuildSession, stage: Stage): Promise<StageResult> {
  const { options, surroundings } = session;
  const state = newStageState(
    stage,
    { arguments: options.arguments, builtins: session.builtins },
    options.defaultEnvironment ?? [],
  );
  const container = new StageContainer(session, stage, state);
  const written = stageInstructions(session, stage);
  const log = stageLog(session, stage, written.length);
  const base = nameBase(session, stage);
  log.step(`FROM ${base.shown}`, stage.from.position);
  const view = await baseOf(session, stage, base, log);
  container.startFrom({
    ...(view ? { view } : {}),
    from: base.from,
    keepBaseAnnotations: base.isStage,
    goesById: base.hasSteps,
  });
  const initial = view?.config.config ?? (options.compatScratchConfig ? {} : { WorkingDir: '/' });
  const triggers = state.startFrom(initial, { inheritLabels: options.inheritLabels !== false });
  if (options.timestampSeconds !== undefined || options.sourceDateEpochSeconds !== undefined) {
    state.config.Hostname = 'sandbox';
    state.config.Domainname = '';
  } else if (options.format === 'docker' && state.config.Hostname === '') {
    state.config.Hostname = randomBytes(6).toString('hex');
  }
  if (view?.config.author) state.author = view.config.author;
  const triggered = [...contextInstructions(session, stage), ...parseTriggers(triggers)];
  log.expect(triggered.length);
  const instructions = [...triggered, ...written];
  const run = new StageRun({ session, stage, state, container, log });
  if (instructions.length === 0) return buildWithoutSteps(run);
  const steps = options.layers ? new LayeredSteps(run) : new SingleLayerSteps(run);
  let result: StageResult | undefined;
  for (const [at, instruction] of instructions.entries()) {
    surroundings.signal?.throwIfAborted();
    result = await oneStep(run, steps, instruction, instructions.slice(at + 1));
    options.resources?.step();
  }
  return result as StageResult;
}

async function baseOf(
  session: BuildSession,
  stage: Stage,
  base: NamedBase,
  log: StageLog,
): Promise<ImageView | undefined> {
  try {
    const view = await findBase(session, stage, base);
    log.done(view?.record.id);
    session.options.onInputs?.({
      ...log.place,
      text: `FROM ${base.isStage ? stage.base : base.shown}`,
      stageName: stage.name,
      isCached: true,
      baseImage: view?.record.id ?? '',
      isBaseStage: base.isStage,
      arguments: [],
      mounts: [],
      others: [],
    });
    return view;
  } catch (error) {
    log.failed(error instanceof Error ? error.message : String(error), undefined);
    throw error;
  }
}

function stageLog({ log, stages }: BuildSession, stage: Stage, steps: number): StageLog {
  const position = stages.length > 1 ? `[${stage.index + 1}/${stages.length}] ` : '';
  return new StageLog(log, { stage: stage.index, position, total: steps + 1 });
}

async function oneStep(
  run: StageRun,
  steps: { step(step: Step): Promise<StageResult> },
  instruction: Instruction,
  later: readonly Instruction[],
): Promise<StageResult> {
  const text = stepText(instruction);
  run.log.step(text, instruction.position);
  run.inputs = run.session.options.onInputs ? new InputCollector(instruction) : undefined;
  if (run.inputs) tellFlags(run.session.options, run.inputs, later.length === 0 && run.isLast);
  try {
    const effects = applyInstruction(run.state, instruction, run.stage.escape);
    warnOfFormat(run.session, run.state, instruction);
    const result = await steps.step({
      instruction,
      effects,
      isLastInstruction: later.length === 0,
      isLastStep: later.length === 0 && run.isLast,
      preservesVolumes: later.length === 0 || later.some((next) => next.kind === 'run'),
    });
    const { isCached } = run.log.done(result.imageId || undefined);
    tellInputs(run, text, { isCached, ...(result.imageId ? { imageId: result.imageId } : {}) });
    return result;
  } catch (error) {
    tellInputs(run, text, { isCached: false, hasFailed: true });
    const { message, exitCode } =
      error instanceof BuildError ? error : { message: String(error), exitCode: undefined };
    run.log.failed(message, exitCode);
    await keepIfWanted(run);
    throw atStep(error, instruction);
  }
}

/** What keeps the container from being kept never hides what the step failed with. */
async function keepIfWanted({ session, container }: StageRun): Promise<void> {
  if (!session.options.keepFailed) return;
  try {
    await container.keep();
  } catch (error) {
    session.surroundings.onWarning?.(`the working container is not kept: ${(error as Error).message}`);
  }
}

function tellInputs(
  run: StageRun,
  text: string,
  outcome: Pick<StepInputs, 'isCached' | 'hasFailed' | 'imageId'>,
): void {
  const { session, stage, log, state, inputs } = run;
  if (!inputs) return;
  session.options.onInputs?.(inputs.finish({ ...log.place, text, stageName: stage.name, ...outcome }, state));
}

function warnOfFormat(session: BuildSession, state: StageState, { kind }: Instruction): void {
  if (kind !== 'shell' && kind !== 'healthcheck' && kind !== 'onbuild') return;
  for (const text of formatWarnings(state, session.options.format, kind))
    session.surroundings.onWarning?.(text);
}

/** What a command, a registry or the machine did, whatever the file says. */
const NOT_OF_THE_FILE: readonly string[] = [
  'run-failed',
  'runtime',
  'isolation-unavailable',
  'pull-failed',
  'policy-denied',
  'check-failed',
  'system',
];

/**
 * Failures name the step and, where it is the file that is wrong, its line, behind the words that scripts look for; the
 * exit code of a RUN stays.
 */
function atStep(thrown: unknown, instruction: Instruction): unknown {
  const error = ofSystem(thrown);
  if (!(error instanceof SlipwayError)) return error;
  const { file, line } = instruction.position;
  const isOfTheFile = error instanceof BuildError && !NOT_OF_THE_FILE.includes(error.code);
  const place = isOfTheFile && error.facts.line === undefined ? ` (${file}:${line})` : '';
  const message = `building at STEP "${stepName(instruction)}": ${error.message}${place}`;
  const details = {
    cause: error,
    exitCode: error.exitCode,
    facts: { ...error.facts, path: instruction.position.file, line: instruction.position.line },
    ...(error.hint ? { hint: error.hint } : {}),
  };
  return error instanceof BuildError
    ? new BuildError(error.code, message, details)
    : new SlipwayError(error.code, message, details);
}

/** A failed system call as an error of the build; others are passed through. */
function ofSystem(error: unknown): unknown {
  return isFailedCall(error) ? new BuildError('system', systemErrorText(error), { cause: error }) : error;
}

/** FROM alone: the base image itself, unless flags change something in it. */
async function buildWithoutSteps(run: StageRun): Promise<StageResult> {
  const { session, container, isLast, name, log } = run;
  const { view } = container;
  if (isLast) log.commit(name);
  if (view && !changesImage(session.options)) {
    await run.tag(view.record.id, name);
    log.image(view.record.id);
    return run.result(view.record.id, true);
  }
  const imageId = await run.commit({
    createdBy: await run.createdBy(undefined, '', isLast),
    emptyLayer: !view,
    name,
    squash: session.options.squash ?? false,
    isLastStep: isLast,
    scan: isLast,
  });
  log.image(imageId);
  return run.result(imageId);
}

function changesImage(options: BuildOptions): boolean {
  const lists = [
    options.annotations,
    options.unsetEnvironment,
    options.unsetLabels,
    options.unsetAnnotations,
  ];
  return (
    options.squash === true ||
    options.sbom !== undefined ||
    lists.some((list) => list?.length) ||
    options.inheritLabels === false ||
    options.inheritAnnotations === false
  );
}
