import { posix } from 'node:path';

/** WORKDIR: relative ones count from the one before; one slash at the end goes. */
export function joinWorkingDirectory(current: string, path: string): string {
  const joined = posix.isAbsolute(path) ? path : posix.join('/', current, path);
  return joined.length > 1 ? joined.replace(/\/$/, '') : joined;
}

/** The destination of COPY and ADD as an absolute path; a trailing slash, or `.`, still says "a directory". */
export function absoluteDestination(destination: string, workingDirectory: string): string {
  if (destination === '.') return workingDirectory.endsWith('/') ? workingDirectory : `${workingDirectory}/`;
  if (posix.isAbsolute(destination)) return destination;
  const directory = destination.endsWith('/') || destination.endsWith('/.');
  const joined = posix.join('/', workingDirectory, destination).replace(/\/$/, '');
  return directory || joined === '' ? `${joined}/` : joined;
}
