import { S_IF } from '../../store/kernel/index.ts';
import { BuildError } from '../error.ts';
import { type BytePath, cleanPath, fromText, type RootedDirectory } from './rooted.ts';

/** Where content goes below the root file system. */
export interface Destination {
  /** Directory below the root, links resolved. */
  readonly directory: BytePath;
  /** The name a single file gets there; absent: its own. */
  readonly rename?: string;
}

/** What the sources are, as far as it decides on the destination. */
export interface SourceShape {
  readonly count: number;
  /** The only source is one regular file (or a download). */
  readonly isSingleFile: boolean;
  /** The only source is a directory, an archive to unpack or a git repository, or `--parents` keeps directories. */
  readonly isTree: boolean;
  /** Content of a layer of its own, which does not depend on the links below it. */
  readonly isIndependent?: boolean;
}

/**
 * Decides as docker and Buildah do: several sources, trees and a trailing slash need a directory; a single file
 * whose destination is missing or a file takes the destination's name.
 * @throws BuildError `bad-argument` where a directory is needed and a file is there
 */
export function chooseDestination(
  root: RootedDirectory,
  given: string,
  workingDirectory: string,
  shape: SourceShape,
): Destination {
  const resolve = (path: string) => (shape.isIndependent ? fromText(path) : root.resolve(fromText(path)));
  const slashed = given === '' || given.endsWith('/') || given.endsWith('/.') || given === '.';
  const absolute = cleanPath(given.startsWith('/') ? given : `${workingDirectory}/${given}`);
  const mustBeDirectory =
    slashed || shape.count > 1 || shape.isTree || absolute === cleanPath(workingDirectory);
  const status = root.status(fromText(absolute), true);
  const isFile = status !== undefined && (status.mode & S_IF.mask) !== S_IF.directory;
  if (isFile && mustBeDirectory)
    throw new BuildError(
      'bad-argument',
      `destination /${absolute}${given.endsWith('/') ? '/' : ''} already exists but is not a directory`,
    );
  // A link that leads nowhere stays, and becomes the way to a new directory.
  const isMissing = status === undefined && root.status(fromText(absolute), false) === undefined;
  if ((isMissing && !mustBeDirectory && shape.isSingleFile) || isFile) {
    const slash = absolute.lastIndexOf('/');
    return {
      directory: resolve(absolute.slice(0, Math.max(slash, 0))),
      rename: absolute.slice(slash + 1),
    };
  }
  return { directory: resolve(absolute) };
}
