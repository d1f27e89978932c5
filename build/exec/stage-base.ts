import { SlipwayError } from '../../errors.ts';
import type { ImageRecord } from '../../store/storage/contract.ts';
import { BuildError } from '../error.ts';
import type { Instruction } from '../parse/instruction.ts';
import { parseContainerfile } from '../parse/parse.ts';
import type { Stage } from '../plan/stages.ts';
import type { ImageView } from './image-view.ts';
import { belowContext } from './local-reference.ts';
import type { BuildSession } from './session.ts';

/** What a stage starts from, as it is known before anything is pulled. */
export interface NamedBase {
  /** The reference, or an earlier stage's image id, as histories tell it. */
  readonly from: string;
  readonly isStage: boolean;
  /** An earlier stage's image that is more than its base. */
  readonly hasSteps: boolean;
  /** The text of the FROM line. */
  readonly shown: string;
}

/** True where FROM names a build context that is a directory, which is then the stage's root file system. */
function isDirectoryContext(session: BuildSession, stage: Stage): boolean {
  const context = session.contexts.get(stage.base);
  return context !== undefined && context.kind !== 'image';
}

/** Names a stage's base: an earlier stage's image, a context of that name, or an image. */
export function nameBase(session: BuildSession, stage: Stage): NamedBase {
  const index = session.graph.needs[stage.index]?.base;
  const from = index === undefined ? baseReference(session, stage) : stageImageId(session, stage, index);
  const platform = stage.platform ? `--platform=${stage.platform} ` : '';
  return {
    from,
    isStage: index !== undefined,
    hasSteps: index !== undefined && session.results.get(index)?.onlyBaseImage === false,
    shown: `${platform}${isDirectoryContext(session, stage) ? stage.base : from}${stage.named ? ` AS ${stage.name}` : ''}`,
  };
}

/** Brings the base into the store; undefined: scratch. */
export async function findBase(
  session: BuildSession,
  stage: Stage,
  base: NamedBase,
): Promise<ImageView | undefined> {
  const record = base.isStage
    ? await session.surroundings.store.images.get(base.from)
    : await pullBase(session, stage);
  const view = record && (await session.views.get(record));
  if (record && !view) throw new BuildError('pull-failed', `${stage.base} is not an image of one platform`);
  return view;
}

function baseReference(session: BuildSession, stage: Stage): string {
  const context = session.contexts.get(stage.base);
  if (context?.kind === 'image') return context.reference;
  return context ? 'scratch' : stage.base;
}

async function pullBase(session: BuildSession, stage: Stage): Promise<ImageRecord | undefined> {
  const reference = baseReference(session, stage);
  if (reference === 'scratch') return undefined;
  try {
    const isContext = session.contexts.get(stage.base) !== undefined;
    const source = isContext ? reference : belowContext(reference, session.contextDirectory);
    return await session.pull(source, session.platformOf(stage));
  } catch (cause) {
    if (!(cause instanceof SlipwayError)) throw cause;
    const code = cause instanceof BuildError ? cause.code : 'pull-failed';
    const { message, hint, retryable, facts } = cause;
    throw new BuildError(code, `creating build container: ${message}`, { cause, hint, retryable, facts });
  }
}

function stageImageId(session: BuildSession, stage: Stage, index: number): string {
  const result = session.results.get(index);
  if (!result?.imageId) throw new BuildError('no-such-stage', `the stage "${stage.base}" has not been built`);
  return result.imageId;
}

/** What fills the root file system of a stage that starts from a directory: a layer of its own, cached by content. */
export function contextInstructions(session: BuildSession, stage: Stage): readonly Instruction[] {
  if (!isDirectoryContext(session, stage)) return [];
  const { file } = stage.from.position;
  const { instructions } = parseContainerfile(`COPY --from=${stage.base} . /`, { file });
  return instructions.map((instruction) => ({ ...instruction, position: stage.from.position }));
}

/** The instructions that a base image's ONBUILD brings. @throws BuildError `syntax` */
export function parseTriggers(triggers: readonly string[]): readonly Instruction[] {
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
