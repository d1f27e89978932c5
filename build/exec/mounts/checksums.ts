import { createHash, type Hash } from 'node:crypto';
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { isSystemError } from '../../../errors.ts';
import type { ResolvedRun } from '../../plan/apply.ts';
import type { Stage } from '../../plan/stages.ts';
import type { BuildSession } from '../session.ts';
import { openSource } from './source.ts';
import { parseMountSpec } from './spec.ts';

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
    if (index === undefined) await session.filesFrom(stage.index, from);
  }
  return false;
}

/**
 * What the bind mounts of a RUN contribute to its cache key, in order: the digest of a stage or image, or a checksum
 * of the files mounted, times left out (SECURITY B29).
 */
export async function bindMountChecksums(
  session: BuildSession,
  stage: Stage,
  run: ResolvedRun,
): Promise<string[]> {
  const checksums: string[] = [];
  for (const text of run.mounts) {
    const spec = parseMountSpec(text, '/');
    if (spec.type !== 'bind') continue;
    if (spec.from === undefined) {
      checksums.push(pathChecksum(session.contextDirectory, spec.source ?? '.'));
      continue;
    }
    const source = await session.filesFrom(stage.index, spec.from);
    if (source.kind === 'context') checksums.push(pathChecksum(source.directory, spec.source ?? '.'));
    else if (source.digest) checksums.push(source.digest);
  }
  return checksums;
}

export function isBindMount(text: string): boolean {
  return parseMountSpec(text, '/').type === 'bind';
}

function allMounts(session: BuildSession, run: ResolvedRun): readonly string[] {
  return [...run.mounts, ...(session.options.run.mounts ?? [])];
}

/** `sha256:…` over names, types, modes, owners, link targets and bytes below a path. */
export function pathChecksum(root: string, source: string): string {
  const opened = openSource(root, source, source);
  try {
    const hash = createHash('sha256');
    addPath(hash, `${opened.path}${opened.isDirectory ? '/.' : ''}`, '.', opened.isDirectory);
    return `sha256:${hash.digest('hex')}`;
  } finally {
    opened.close();
  }
}

function addPath(hash: Hash, path: string, name: string, follow: boolean): void {
  const status = follow || name !== '.' ? lstatSync(path) : undefined;
  if (status) addHeader(hash, name, status, status.isSymbolicLink() ? readlinkSync(path) : '');
  if (!status || status.isFile()) addBytes(hash, path);
  else if (status.isDirectory())
    for (const entry of readdirSync(path).sort()) addPath(hash, join(path, entry), join(name, entry), follow);
}

function addHeader(hash: Hash, name: string, status: Stats, link: string): void {
  hash.update(
    JSON.stringify([name, status.mode, status.uid, status.gid, status.isFile() ? status.size : 0, link]),
  );
}

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
