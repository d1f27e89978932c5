import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isSystemError } from '../../errors.ts';
import { BuildError } from '../error.ts';
import { openInRoot, openRoot } from '../run/rooted-path.ts';

/** The rules that keep files out of a context, and where they came from. */
export interface IgnoreFile {
  readonly patterns: readonly string[];
  /** Absent where there is no such file. */
  readonly path?: string;
}

const LIMIT_BYTES = 8 * 1024 * 1024;
const DEFAULT_NAMES = ['.containerignore', '.dockerignore'];

/**
 * Finds the rules of a context: the file given, else one beside the Containerfile named after it, else the context's
 * own. Beside a Containerfile the name of Docker's wins, in a context the other, as in Buildah. A default file is resolved inside the context: a link out of it finds nothing (SECURITY B13).
 * @throws BuildError `missing-file`
 */
export function readIgnoreFile(
  context: string,
  given: { readonly explicit?: string; readonly containerfile?: string },
): IgnoreFile {
  if (given.explicit) {
    const text = readExisting(given.explicit);
    if (text === undefined)
      throw new BuildError('missing-file', `open ${given.explicit}: no such file or directory`, {
        hint: 'check --ignorefile',
      });
    return { patterns: parseIgnore(text), path: given.explicit };
  }
  const besides = given.containerfile
    ? ['.dockerignore', '.containerignore'].map((suffix) => given.containerfile + suffix)
    : [];
  for (const path of besides) {
    const text = readExisting(path);
    if (text !== undefined) return { patterns: parseIgnore(text), path };
  }
  for (const name of DEFAULT_NAMES) {
    const text = readInside(context, name);
    if (text !== undefined) return { patterns: parseIgnore(text), path: join(context, name) };
  }
  return { patterns: [] };
}

/** One pattern a line; `#` comments, blank lines and outer slashes go away. */
export function parseIgnore(text: string): string[] {
  return text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.trim().replace(/^\/+|\/+$/g, ''))
    .filter((line) => line !== '');
}

function readExisting(path: string): string | undefined {
  try {
    return readRegular(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK), path);
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

function readInside(context: string, name: string): string | undefined {
  try {
    using root = openRoot(context);
    return readRegular(openInRoot(root, name, constants.O_RDONLY | constants.O_NONBLOCK), name);
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'EXDEV')) return undefined;
    throw error;
  }
}

/** SECURITY B31, I4: a fifo, device or endless file is refused, not waited for. */
function readRegular(fd: number, path: string): string {
  try {
    const status = fstatSync(fd);
    if (!status.isFile()) throw new BuildError('bad-context', `${path} is not a regular file`);
    if (status.size > LIMIT_BYTES)
      throw new BuildError('bad-context', `${path} is larger than ${LIMIT_BYTES} bytes`);
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}
