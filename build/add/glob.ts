import { isSystemError } from '../../errors.ts';
import { closeDescriptor, OPEN, readDirectory, S_IF, statAt } from '../../store/kernel/index.ts';
import { BuildError } from '../error.ts';
import { componentPattern, hasWildcard } from './pattern.ts';
import { type BytePath, cleanPath, fromBytes, fromText, type RootedDirectory, toText } from './rooted.ts';

/**
 * The paths below a root that a pattern matches, in byte order; directories on the way may be reached through links
 * inside the root. `**` stands for any number of directories, `..` takes the word before it away, link or not. A pattern
 * without wildcards matches itself if it exists.
 * @throws BuildError `bad-argument` for a malformed pattern
 */
export function expandGlob(root: RootedDirectory, pattern: string): BytePath[] {
  let found: BytePath[] = [''];
  for (const part of cleanPath(pattern).split('/')) {
    if (part === '') continue;
    if (part === '**') found = unique(found.flatMap((path) => directoriesBelow(root, path)));
    else if (hasWildcard(part) || part.includes('\\'))
      found = found.flatMap((path) => matching(root, path, part));
    else found = found.map((path) => joinBytes(path, fromText(part)));
  }
  const isThere = (path: BytePath) => root.status(path, false) !== undefined;
  const paths = unique(found);
  // What was written without a wildcard is to be there: why it is not, is told.
  return (
    hasWildcard(pattern) ? paths.filter((path) => ifReached(() => isThere(path))) : paths.filter(isThere)
  ).sort();
}

/** Undefined behind a link in a circle or to a name that is too long, which a wildcard may come upon. */
function ifReached<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    const cause = error instanceof BuildError ? error.cause : error;
    if (isSystemError(cause, 'ELOOP', 'ENAMETOOLONG')) return undefined;
    throw error;
  }
}

function matching(root: RootedDirectory, directory: BytePath, part: string): BytePath[] {
  const expression = componentPattern(part);
  return names(root, directory)
    .filter(({ name }) => expression.test(toText(name)))
    .map(({ name }) => joinBytes(directory, name));
}

/** The directory itself and all below it; links are not followed. */
function directoriesBelow(root: RootedDirectory, directory: BytePath): BytePath[] {
  const below = names(root, directory)
    .filter(({ isDirectory }) => isDirectory)
    .flatMap(({ name }) => directoriesBelow(root, joinBytes(directory, name)));
  return [directory, ...below];
}

function names(root: RootedDirectory, directory: BytePath): { name: BytePath; isDirectory: boolean }[] {
  const fd = ifReached(() => root.open(directory, OPEN.readOnly | OPEN.directory));
  if (fd === undefined) return [];
  try {
    return readDirectory(fd).map(({ name, type }) => ({
      name: fromBytes(name),
      isDirectory: ((type || statAt(fd, name).mode) & S_IF.mask) === S_IF.directory,
    }));
  } finally {
    closeDescriptor(fd);
  }
}

export function joinBytes(directory: BytePath, name: BytePath): BytePath {
  return directory === '' ? name : `${directory}/${name}`;
}

const unique = (paths: readonly BytePath[]) => [...new Set(paths)];
