import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Limit } from '../../transport/limit.ts';
import type { BuildSurroundings } from '../container/contract.ts';
import { BuildError } from '../error.ts';
import { type Containerfile, parseContainerfile } from '../parse/parse.ts';
import { BUILTIN_ARGUMENTS, platformArguments } from '../plan/arguments.ts';
import { writersBefore } from '../plan/context-writes.ts';
import { stageGraph } from '../plan/graph.ts';
import { type Stage, splitStages, throughTarget } from '../plan/stages.ts';
import { warnAboutArguments } from './argument-warnings.ts';
import { failOnFindings } from './check-file.ts';
import { checkNames, destinationOf } from './destination.ts';
import { removeLeftovers } from './leftovers.ts';
import { BuildLog } from './log.ts';
import type { BuildOptions, BuildResult } from './options.ts';
import { writeOutputs } from './output.ts';
import { BuildSession, type StageResult } from './session.ts';
import { buildStage } from './stage.ts';
import { Turns } from './turns.ts';
import { Workspace } from './workspace.ts';

/**
 * Builds an image for one platform. Step lines, the commands' output and, last, nothing more go to
 * {@link BuildOptions.stdout}: printing the image id is the caller's.
 * @throws BuildError; whatever happens, containers, mounts and temporary files of the build are gone afterwards
 */
export async function buildImage(
  surroundings: BuildSurroundings,
  options: BuildOptions,
): Promise<BuildResult> {
  checkNames([options.output, ...options.additionalTags]);
  if (options.cacheTtlMs === 0) options.debug?.('Setting --no-cache=true since --cache-ttl is 0');
  const controller = new AbortController();
  const signal = surroundings.signal
    ? AbortSignal.any([surroundings.signal, controller.signal])
    : controller.signal;
  const log = new BuildLog(options);
  const inner = { ...reporting(surroundings, log), signal };
  try {
    const result = await buildInside(inner, options, log, controller);
    const { imageId, digest, names } = result;
    const durationMs = log.elapsedMs();
    log.event({ type: 'build-done', imageId, ...(digest ? { digest } : {}), names, durationMs });
    return result;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    log.event({ type: 'build-failed', message, durationMs: log.elapsedMs() });
    throw error;
  }
}

/** What is told about transfers and warnings becomes events too, where somebody listens. */
function reporting(surroundings: BuildSurroundings, log: BuildLog): BuildSurroundings {
  if (!log.listens) return surroundings;
  const { onProgress, onWarning } = surroundings;
  return {
    ...surroundings,
    onProgress: (transfer) => {
      log.onTransfer?.(transfer);
      onProgress?.(transfer);
    },
    onWarning: (text) => {
      log.event({ type: 'warning', text });
      onWarning?.(text);
    },
  };
}

async function buildInside(
  surroundings: BuildSurroundings,
  options: BuildOptions,
  log: BuildLog,
  controller: AbortController,
): Promise<BuildResult> {
  for (const signer of options.signers ?? []) await signer.prepare();
  await removeLeftovers(surroundings.store, (text) => surroundings.onWarning?.(text));
  await using workspace = new Workspace(surroundings);
  const session = openSession(surroundings, options, workspace, log);
  announce(session);
  warnAboutArguments(session);
  await failOnFindings(session);
  const temporary: string[] = [];
  try {
    const result = await finishedImage(session, controller, temporary);
    await takeAway(session, temporary);
    return result;
  } catch (error) {
    // What went wrong first is what the user is told.
    await takeAway(session, temporary).catch((second: unknown) =>
      options.debug?.(`cleaning up after a failed build: ${String(second)}`),
    );
    throw error;
  }
}

async function finishedImage(
  session: BuildSession,
  controller: AbortController,
  temporary: string[],
): Promise<BuildResult> {
  const result = await runStages(session, controller, temporary);
  if (!result) throw new BuildError('syntax', 'building: no stages to build');
  reportUnusedArguments(session);
  await writeOutputs(session, result);
  const names = await nameImage(session, result);
  return {
    imageId: result.imageId,
    names,
    ...(result.digest ? { digest: result.digest } : {}),
    ...(result.manifest ? { manifest: result.manifest } : {}),
    ...(result.mediaType ? { mediaType: result.mediaType } : {}),
  };
}

async function takeAway(session: BuildSession, temporary: readonly string[]): Promise<void> {
  session.saveDigests();
  await session.workspace.clear();
  await removeTemporaryImages(session, temporary);
}

function openSession(
  surroundings: BuildSurroundings,
  options: BuildOptions,
  workspace: Workspace,
  log: BuildLog,
): BuildSession {
  const files = options.files.map(parseFile);
  const targetStage = options.target;
  const builtins = platformArguments(options.platform, options.buildPlatform, targetStage);
  const all = splitStages(files, {
    arguments: options.arguments,
    builtins,
    ...(options.fromOverride ? { fromOverride: options.fromOverride } : {}),
  });
  const stages = throughTarget(all, options.target);
  const graph = stageGraph(stages, new Set(options.contexts.keys()), {
    arguments: options.arguments,
    builtins,
  });
  const instructions = files.flatMap((file) => file.instructions);
  return new BuildSession({ surroundings, options, stages, graph, workspace, log, builtins, instructions });
}

function isWanted({ graph, options }: BuildSession, stage: Stage): boolean {
  return graph.needed.has(stage.index) || options.skipUnusedStages === false;
}

function announce(session: BuildSession): void {
  const { log, stages, graph, surroundings, options } = session;
  log.event({
    type: 'build-started',
    platform: options.platform,
    startedAt: surroundings.now().toISOString(),
    stages: stages.map((stage) => ({
      stage: stage.index,
      name: stage.name,
      base: stage.base,
      needs: [...(graph.needs[stage.index]?.all ?? [])],
      skipped: !isWanted(session, stage),
    })),
  });
  for (const stage of stages)
    if (!isWanted(session, stage)) log.event({ type: 'stage-skipped', stage: stage.index, name: stage.name });
}

async function reportedStage(session: BuildSession, stage: Stage): Promise<StageResult> {
  const { log } = session;
  const started = log.elapsedMs();
  log.event({ type: 'stage-started', stage: stage.index, name: stage.name });
  const result = await buildStage(session, stage);
  const durationMs = Math.round((log.elapsedMs() - started) * 10) / 10;
  log.event({
    type: 'stage-done',
    stage: stage.index,
    name: stage.name,
    imageId: result.imageId,
    durationMs,
  });
  return result;
}

/** A further file's error says which of the files it is, as Buildah does. */
function parseFile({ name, text }: BuildOptions['files'][number], index: number): Containerfile {
  try {
    return parseContainerfile(text, { file: name });
  } catch (cause) {
    if (index === 0 || !(cause instanceof BuildError)) throw cause;
    const { line } = cause.facts;
    const why = cause.message.replace(`${name}:${line}: `, '');
    throw new BuildError(cause.code, `parsing additional Dockerfile ${name}: ${why} (line ${line})`, {
      cause,
      facts: cause.facts,
      ...(cause.hint ? { hint: cause.hint } : {}),
    });
  }
}

/** More than cores, since steps wait for the network and for disks too. */
const FEWEST_AT_ONCE = 4;

function stagesAtOnce({ options, stages }: BuildSession): number {
  const { jobs = Math.max(FEWEST_AT_ONCE, availableParallelism()) } = options;
  if (jobs < 0)
    throw new BuildError('bad-option', 'building: invalid value for jobs.  It must be a positive integer');
  return jobs === 0 ? Math.max(1, stages.length) : jobs;
}

function takeTurns({ log, workspace }: BuildSession, wanted: readonly Stage[]): Turns {
  const order = wanted.map((stage) => stage.index);
  let directory: string | undefined;
  let files = 0;
  const file = () => {
    directory ??= workspace.directory('output');
    files += 1;
    return join(directory, String(files));
  };
  log.turns = new Turns(order, log.direct, file);
  workspace.defer(log.turns);
  return log.turns;
}

/** Runs the needed stages, each when those it needs are done, at most `jobs` at once; the last one's result. */
async function runStages(
  session: BuildSession,
  controller: AbortController,
  temporary: string[],
): Promise<StageResult | undefined> {
  const { stages, graph, options } = session;
  const wanted = stages.filter((stage) => isWanted(session, stage));
  const writers = writersBefore(graph, wanted);
  const slots = new Limit(stagesAtOnce(session));
  const turns = options.jobs === undefined && wanted.length > 1 ? takeTurns(session, wanted) : undefined;
  const build = (stage: Stage) => {
    const action = () => reportedStage(session, stage);
    return turns ? turns.run(stage.index, action) : action();
  };
  const running = new Map<number, Promise<StageResult>>();
  const start = (stage: Stage): Promise<StageResult> => {
    const known = running.get(stage.index);
    if (known) return known;
    const needs = [...(graph.needs[stage.index]?.all ?? []), ...writers(stage)];
    const promise = (async () => {
      for (const need of needs) await start(stages[need] as Stage);
      const result = await slots.run(() => build(stage), session.surroundings.signal);
      session.results.set(stage.index, result);
      const isLast = stage.index === stages.length - 1;
      if (!isLast && !options.layers && !options.saveStages && result.imageId && !result.onlyBaseImage)
        temporary.push(result.imageId);
      return result;
    })();
    running.set(stage.index, promise);
    promise.catch((error) => controller.abort(error));
    return promise;
  };
  const outcomes = await Promise.allSettled(wanted.map(start));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed) throw controller.signal.aborted ? controller.signal.reason : failed.reason;
  return session.results.get(stages.length - 1);
}

function reportUnusedArguments(session: BuildSession): void {
  const { options } = session;
  const declared = new Set(
    session.instructions.flatMap((instruction) =>
      instruction.kind === 'arg' ? instruction.words.map((word) => word.split('=', 1)[0] as string) : [],
    ),
  );
  const unused = [...options.arguments.keys()].filter(
    (name) => !declared.has(name) && !BUILTIN_ARGUMENTS.has(name),
  );
  if (unused.length > 0)
    session.log.line(`[Warning] one or more build args were not consumed: [${unused.sort().join(' ')}]`);
}

/** Adds the further tags and says which names the image has now. */
async function nameImage(session: BuildSession, result: StageResult): Promise<readonly string[]> {
  const { options, surroundings } = session;
  if (options.output === '') return [];
  const destination = destinationOf(session, options.output);
  if (!destination.isStore) {
    if (options.additionalTags.length > 0)
      surroundings.onWarning?.(
        `don't know how to add tags to images stored in "${options.output.split(':', 1)[0]}" transport`,
      );
    return [];
  }
  const more = options.additionalTags.map((tag) => destinationOf(session, tag).storedName);
  // Each name goes before those that are there, as one by one.
  if (more.length > 0) await surroundings.store.images.addNames(result.imageId, more.toReversed());
  const names = (await surroundings.store.images.get(result.imageId))?.names ?? [];
  for (const name of names) session.log.line(`Successfully tagged ${name}`);
  return names;
}

/** Images of stages that were only needed on the way. One that another build uses stays. */
async function removeTemporaryImages(session: BuildSession, ids: readonly string[]): Promise<void> {
  const { store } = session.surroundings;
  const last = session.results.get(session.stages.length - 1)?.imageId;
  for (const id of [...ids].reverse()) {
    if (id === last) continue;
    const record = await store.images.get(id);
    if (!record || record.names.length > 0) continue;
    try {
      await store.deleteImage(id);
    } catch (error) {
      session.options.debug?.(`failed to remove intermediate image "${id}": ${String(error)}`);
    }
  }
}
