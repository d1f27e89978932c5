import { createHash, type Hash } from 'node:crypto';
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { posix } from 'node:path';
import { isSystemError } from '../../../errors.ts';
import { summarizeSources } from '../../add/add.ts';
import type { AddOptions } from '../../add/contract.ts';
import { fromText } from '../../add/rooted.ts';
import type { ResolvedRun } from '../../plan/apply.ts';
import type { Stage } from '../../plan/stages.ts';
import type { BuildSession } from '../session.ts';
import { openSource } from './source.ts';
import { type MountSpec, parseMountSpec } from './spec.ts';

type OnContent = NonNullable<AddOptions['onContent']>;

/** True where a mount's stage was built just now: its RUN is not looked up, the stage may have changed. */
export async function usesFreshStage(
  session: BuildSession,
  stage: Stage,
  run: ResolvedRun,
): Promise<boolean> {
  for (const text of allMounts(session, run)) {
    const { from } = parseMountSpec(text, '/');
    if (from === undefined) continue;
    const index = session.stageNamed(stage.index, from);
    if (index !== undefined && session.results.get(index)?.didExecute) return true;
    if (index === undefined) await session.filesFrom(stage.index, from, `${text} from`);
  }
  return false;
}

/**
 * What the mounts of a RUN contribute to its cache key, in order, beside their texts: the digest of a stage or image,
 * or one of the files mounted, times left out (SECURITY B29). A cache that is taken from elsewhere counts as a bind
 * mount does; Buildah forgets it.
 */
export async function mountChecksums(
  session: BuildSession,
  stage: Stage,
  run: ResolvedRun,
  onContent?: OnContent,
): Promise<(readonly [text: string, checksum: string])[]> {
  const checksums: (readonly [string, string])[] = [];
  for (const text of run.mounts) {
    const checksum = await checksumOf(session, stage, parseMountSpec(text, '/'), onContent);
    if (checksum !== undefined) checksums.push([text, checksum]);
  }
  return checksums;
}

async function checksumOf(
  session: BuildSession,
  stage: Stage,
  { type, text, from, source = '.' }: MountSpec,
  onContent: OnContent | undefined,
): Promise<string | undefined> {
  if (type !== 'bind' && (type !== 'cache' || from === undefined)) return undefined;
  const files = from === undefined ? undefined : await session.filesFrom(stage.index, from, `${text} from`);
  if (files && files.kind !== 'context') return files.digest;
  const directory = files?.directory ?? session.contextDirectory;
  return pathChecksum(session, directory, source, onContent && below(source, onContent));
}

function allMounts(session: BuildSession, run: ResolvedRun): readonly string[] {
  return [...run.mounts, ...(session.options.run.mounts ?? [])];
}

/** Tells paths as they are from the top of the context. */
function below(source: string, onContent: OnContent): OnContent {
  const top = posix.normalize(source).replace(/^\/+|\/+$/g, '');
  if (top === '.' || top === '') return onContent;
  return (path, ...rest) => onContent(`${fromText(top)}/${path}`, ...rest);
}

/** `sha256:…` over names, types, modes, owners, link targets, attributes and bytes below a path. */
async function pathChecksum(
  session: BuildSession,
  directory: string,
  source: string,
  onContent: OnContent | undefined,
): Promise<string> {
  const opened = openSource(directory, source, source);
  try {
    const { mode, uid, gid } = statSync(opened.path);
    const hash = createHash('sha256').update(JSON.stringify([mode, uid, gid]));
    if (opened.isDirectory) hash.update(await treeChecksum(session, opened.path, directory, onContent));
    else addBytes(hash, opened.path);
    return `sha256:${hash.digest('hex')}`;
  } finally {
    opened.close();
  }
}

async function treeChecksum(
  session: BuildSession,
  directory: string,
  known: string,
  onContent: OnContent | undefined,
): Promise<string> {
  const surroundings = { ...session.surroundings, onWarning: undefined };
  const summary = await summarizeSources(surroundings, noContainer, ['.'], {
    contextDirectory: directory,
    preserveOwnership: true,
    knownDigests: session.digests(known),
    onContent,
  });
  return summary.hex;
}

const noContainer = (): never => {
  throw new Error('no owner was to be looked up');
};

function addBytes(hash: Hash, path: string): void {
  const buffer = Buffer.allocUnsafe(1 << 17);
  const fd = openSync(path, 'r');
  try {
    for (let count = readSync(fd, buffer); count > 0; count = readSync(fd, buffer))
      hash.update(buffer.subarray(0, count));
  } catch (error) {
    if (!isSystemError(error, 'EISDIR')) throw error;
  } finally {
    closeSync(fd);
  }
}
