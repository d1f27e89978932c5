import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { isSystemError } from '../../../errors.ts';
import { getXattr } from '../../kernel/xattr.ts';
import type { Change } from '../driver.ts';

/** Paths here have one character for each byte, since names need not be valid UTF-8. */
type ByteText = string;

const bytesOf = (path: ByteText) => Buffer.from(path, 'latin1');
const byteText = (path: string): ByteText => Buffer.from(path).toString('latin1');
const shown = (path: ByteText) => bytesOf(path).toString();

/**
 * What an upper directory changes against the directories below it: whiteouts delete, what is in a lower directory is
 * changed, the rest is added (archive.OverlayChanges). Names are shown as UTF-8.
 */
export function overlayChanges(
  upperDirectory: string,
  lowerDirectories: readonly string[],
  xattrPrefix: 'trusted.' | 'user.',
): Change[] {
  const changes: Change[] = [];
  const upper = byteText(upperDirectory);
  const lowers = lowerDirectories.map(byteText);
  const visit = (directory: string) => {
    for (const entry of entriesOf(join(upper, directory)).sort(byName)) {
      const path = `${directory}/${entry.name}`;
      const full = join(upper, path);
      const status = lstatSync(bytesOf(full));
      if (status.isCharacterDevice() && status.rdev === 0) {
        if (isBelow(lowers, path, xattrPrefix)) changes.push({ kind: 'D', path: shown(path) });
        continue;
      }
      changes.push({ kind: isBelow(lowers, path, xattrPrefix) ? 'C' : 'A', path: shown(path) });
      if (!entry.isDirectory()) continue;
      if (isOpaque(full, xattrPrefix)) changes.push(...hidden(full, lowers, path));
      visit(path);
    }
  };
  visit('');
  return changes;
}

function entriesOf(directory: ByteText) {
  return readdirSync(bytesOf(directory), { withFileTypes: true, encoding: 'latin1' });
}

function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : 1;
}

/** Looks a path up from the top; a whiteout or an opaque directory on the way hides what is further down. */
function isBelow(lowers: readonly string[], path: string, xattrPrefix: 'trusted.' | 'user.'): boolean {
  for (const lower of lowers) {
    const status = statOf(join(lower, path));
    if (status !== undefined) return !(status.isCharacterDevice() && status.rdev === 0);
    const parts = path.split('/').slice(1, -1);
    for (let depth = parts.length; depth > 0; depth -= 1) {
      const parent = join(lower, ...parts.slice(0, depth));
      const parentStatus = statOf(parent);
      if (parentStatus === undefined) continue;
      if (!parentStatus.isDirectory() || isOpaque(parent, xattrPrefix)) return false;
      break;
    }
  }
  return false;
}

/** What an opaque directory deletes: entries of the first lower that are not there again. */
function hidden(full: string, lowers: readonly string[], path: string): Change[] {
  const again = new Set(namesIn(full));
  const gone = new Set<string>();
  for (const lower of lowers)
    for (const name of namesIn(join(lower, path))) if (!again.has(name)) gone.add(name);
  return [...gone].sort().map((name) => ({ kind: 'D', path: shown(`${path}/${name}`) }));
}

function namesIn(directory: string): string[] {
  try {
    return entriesOf(directory)
      .filter((entry) => !entry.isCharacterDevice())
      .map((entry) => entry.name);
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

function statOf(path: string) {
  try {
    return lstatSync(bytesOf(path), { throwIfNoEntry: false });
  } catch (error) {
    if (isSystemError(error, 'ENOTDIR')) return undefined;
    throw error;
  }
}

function isOpaque(directory: string, xattrPrefix: 'trusted.' | 'user.'): boolean {
  const value = getXattr(bytesOf(directory), `${xattrPrefix}overlay.opaque`);
  return value !== undefined && value[0] === 0x79;
}
