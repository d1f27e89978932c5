import { isAbsolute, posix, resolve } from 'node:path';
import { S_IF } from '../../store/kernel/index.ts';
import { BuildError } from '../error.ts';
import { isArchive } from './archive.ts';
import type { AddOptions } from './contract.ts';
import { expandGlob } from './glob.ts';
import { hasWildcard } from './pattern.ts';
import { type BytePath, cleanPath, type RootedDirectory, toText } from './rooted.ts';

/** One thing that a source pattern matched. */
export interface Match {
  /** Below the context, as matched. */
  readonly path: BytePath;
  /** The same with the last link followed where that is wanted. */
  readonly resolved: BytePath;
  readonly kind: 'directory' | 'file' | 'archive' | 'other';
}

export interface LocalSource {
  /** As the user wrote it. */
  readonly given: string;
  /** Path components before a `/./`, which `--parents` leaves out. */
  readonly pivot: number;
  readonly matches: readonly Match[];
}

/**
 * What `--parents` leaves out and what it keeps of a match's path. A directory that a link led to has its own path, as
 * in Buildah.
 */
export function splitAtPivot(match: Match, pivot: number) {
  const parts = (match.kind === 'directory' ? match.resolved : match.path).split('/').filter(Boolean);
  const above = match.path.split('/').slice(0, pivot);
  if (above.some((part, index) => parts[index] !== part)) return { above: [], kept: parts };
  return { above, kept: parts.slice(above.length) };
}

/**
 * Finds what a local source stands for below the context.
 * @throws BuildError `missing-file`, `unsafe-path` for a source outside the context
 */
export async function findLocalSource(
  context: RootedDirectory,
  contextPath: string,
  given: string,
  options: AddOptions,
  workingDirectory: string,
): Promise<LocalSource> {
  const wanted = contextPattern(contextPath, given, options, workingDirectory);
  const climbs = options.contextDirectory !== undefined && !isAbsolute(given) && climbsOut(given);
  const climbing = climbs ? 'possible escaping context directory error: ' : '';
  if (climbs && !options.staysInContext)
    throw new BuildError(
      'unsafe-path',
      `checking on sources under "${options.contextName ?? contextPath}": ${climbing}"${given}" is outside of it: no such file or directory`,
    );
  const pattern = climbs ? posix.join('/', wanted).slice(1) || '.' : wanted;
  if (hasWildcard(pattern) && options.allowWildcards === false)
    throw new BuildError(
      'bad-argument',
      `checking on sources under "${options.contextName ?? contextPath}": "${given}": wildcards are not allowed`,
    );
  const paths = expandGlob(context, pattern);
  if (paths.length === 0 && !hasWildcard(pattern))
    throw new BuildError(
      'missing-file',
      `checking on sources under "${options.contextName ?? contextPath}": ${climbing}"/${cleanPath(pattern)}": no such file or directory`,
      { facts: { path: given } },
    );
  const beforePivot = /^(.*?)\/\.\//.exec(pattern)?.[1] ?? '';
  const matches: Match[] = [];
  for (const path of paths) matches.push(await matchOf(context, contextPath, path, options));
  return { given, pivot: cleanPath(beforePivot).split('/').filter(Boolean).length, matches };
}

function contextPattern(
  contextPath: string,
  given: string,
  options: AddOptions,
  workingDirectory: string,
): string {
  if (options.contextDirectory === undefined)
    return given.startsWith('/') ? given : `${resolve(workingDirectory)}/${given}`;
  if (isAbsolute(given)) {
    const inside = given === contextPath || given.startsWith(`${contextPath}/`);
    return inside ? given.slice(contextPath.length) || '.' : given;
  }
  return given;
}

/** True where `..` leads above the top at any point. */
function climbsOut(path: string): boolean {
  let depth = 0;
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    depth += part === '..' ? -1 : 1;
    if (depth < 0) return true;
  }
  return false;
}

async function matchOf(
  context: RootedDirectory,
  contextPath: string,
  path: BytePath,
  options: AddOptions,
): Promise<Match> {
  const follow = options.followSymlinks !== false;
  const slash = path.lastIndexOf('/');
  const parent = slash < 0 ? '' : context.resolve(path.slice(0, slash));
  const name = path.slice(slash + 1);
  const resolved = follow ? context.resolve(path) : parent ? `${parent}/${name}` : name;
  const status = context.status(resolved, false);
  if (!status)
    throw new BuildError(
      'missing-file',
      `checking on sources under "${options.contextName ?? contextPath}": "/${toText(path)}": no such file or directory`,
    );
  const type = status.mode & S_IF.mask;
  if (type === S_IF.directory) return { path, resolved, kind: 'directory' };
  if (type !== S_IF.regular) return { path, resolved, kind: 'other' };
  const archive = options.extract && (await isArchive(context, resolved));
  return { path, resolved, kind: archive ? 'archive' : 'file' };
}
