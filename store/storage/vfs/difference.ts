import { closeSync } from 'node:fs';
import {
  AT_FDCWD,
  chmodDescriptor,
  chownDescriptor,
  linkAt,
  mkdirAt,
  mknodAt,
  OPEN,
  openAt,
  readLinkAt,
  setTimesOfDescriptor,
} from '../../kernel/at.ts';
import {
  type FileStatus,
  readDirectory,
  S_IF,
  statAt,
  statAtIfExists,
  statDescriptor,
} from '../../kernel/stat.ts';
import { getXattr, listXattrs, setXattr } from '../../kernel/xattr.ts';
import { isOrdinaryUser, OVERRIDE_XATTR } from '../../layer/owner-override.ts';
import type { Change } from '../driver.ts';

const DIRECTORY = OPEN.readOnly | OPEN.directory | OPEN.noFollow;

/** The changes between two whole trees, sorted by path; without `below` everything is added. */
export function treeChanges(tree: string, below: string | undefined): Change[] {
  const changes: Change[] = [];
  walk(tree, below, {
    enter: () => {},
    leave: () => {},
    visit: (kind, _directory, _name, path) => changes.push({ kind, path }),
  });
  return changes.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/**
 * Lays the difference of two trees out as an overlay upper directory `upper`: changed files as hard links, directories
 * that lead to them as copies of themselves, deletions as whiteouts. It is on the file system of `tree`.
 */
export function materializeDifference(tree: string, below: string | undefined, upper: string): void {
  mkdirAt(AT_FDCWD, upper, 0o700);
  const stack = [openAt(AT_FDCWD, upper, DIRECTORY)];
  const top = () => stack.at(-1)!;
  walk(tree, below, {
    enter: (name) => {
      mkdirAt(top(), name, 0o700);
      stack.push(openAt(top(), name, DIRECTORY));
    },
    leave: (source) => {
      const directory = stack.pop()!;
      dress(directory, source);
      closeSync(directory);
    },
    visit: (kind, directory, name, _path, isDirectory) => {
      if (isDirectory) return;
      if (kind === 'D') mknodAt(top(), name, S_IF.character, 0, 0);
      else linkAt(directory, name, top(), name);
    },
  });
}

interface Walker {
  /** A directory of the tree begins that is changed or holds changes. */
  enter(name: Buffer): void;
  /** It ends; `source` is its descriptor. Called for the root too. */
  leave(source: number): void;
  visit(kind: Change['kind'], directory: number, name: Buffer, path: string, isDirectory: boolean): void;
}

function walk(tree: string, below: string | undefined, walker: Walker): void {
  const root = openAt(AT_FDCWD, tree, OPEN.readOnly | OPEN.directory);
  const lower = below === undefined ? undefined : openAt(AT_FDCWD, below, OPEN.readOnly | OPEN.directory);
  try {
    compare(root, lower, '', walker, () => {});
    walker.leave(root);
  } finally {
    closeSync(root);
    if (lower !== undefined) closeSync(lower);
  }
}

/** @param begin called before the first change is reported, to enter the directories that lead there */
function compare(
  upper: number,
  lower: number | undefined,
  path: string,
  walker: Walker,
  begin: () => void,
): void {
  const names = new Map(readDirectory(upper).map((entry) => [entry.name.toString('latin1'), entry.name]));
  for (const key of [...names.keys()].sort())
    compareEntry(upper, lower, names.get(key)!, `${path}/${names.get(key)!.toString()}`, walker, begin);
  if (lower === undefined) return;
  for (const { name } of readDirectory(lower)) {
    if (names.has(name.toString('latin1'))) continue;
    begin();
    walker.visit('D', lower, name, `${path}/${name.toString()}`, false);
  }
}

function compareEntry(
  upper: number,
  lower: number | undefined,
  name: Buffer,
  path: string,
  walker: Walker,
  begin: () => void,
): void {
  const status = statAt(upper, name);
  const before = lower === undefined ? undefined : statAtIfExists(lower, name);
  const isDirectory = (status.mode & S_IF.mask) === S_IF.directory;
  const wasDirectory = before !== undefined && (before.mode & S_IF.mask) === S_IF.directory;
  const changed = before === undefined || differs(upper, lower!, name, status, before);
  if (changed) {
    begin();
    walker.visit(before === undefined ? 'A' : 'C', upper, name, path, isDirectory);
  }
  if (!isDirectory) return;
  let entered = false;
  const enter = () => {
    if (entered) return;
    entered = true;
    begin();
    // A directory with changes below it counts as changed, as in the original's lists.
    if (!changed) walker.visit('C', upper, name, path, true);
    walker.enter(name);
  };
  if (changed) enter();
  const child = openAt(upper, name, DIRECTORY);
  const childBelow = wasDirectory ? openAt(lower!, name, DIRECTORY) : undefined;
  try {
    compare(child, childBelow, path, walker, enter);
    if (entered) walker.leave(child);
  } finally {
    closeSync(child);
    if (childBelow !== undefined) closeSync(childBelow);
  }
}

/** As archive.ChangesDirs: type, mode, owner, device, and for files size, time and capability. */
function differs(
  upper: number,
  lower: number,
  name: Buffer,
  status: FileStatus,
  before: FileStatus,
): boolean {
  if (status.mode !== before.mode || status.uid !== before.uid || status.gid !== before.gid) return true;
  if (status.deviceMajor !== before.deviceMajor || status.deviceMinor !== before.deviceMinor) return true;
  const type = status.mode & S_IF.mask;
  if (type === S_IF.directory) return false;
  if (type === S_IF.symlink) return !readLinkAt(upper, name).equals(readLinkAt(lower, name));
  if (type !== S_IF.regular) return false;
  if (status.sizeBytes !== before.sizeBytes || status.modifiedNs !== before.modifiedNs) return true;
  return isOrdinaryUser() && overrideAt(upper, name) !== overrideAt(lower, name);
}

/** The owner that could not be set, in words. */
function overrideAt(directory: number, name: Buffer): string | undefined {
  const path = Buffer.concat([Buffer.from(`/proc/self/fd/${directory}/`), name]);
  return getXattr(path, OVERRIDE_XATTR)?.toString('latin1');
}

function dress(to: number, from: number): void {
  const status = statDescriptor(from);
  const own = statDescriptor(to);
  if (status.uid !== own.uid || status.gid !== own.gid) chownDescriptor(to, status.uid, status.gid);
  chmodDescriptor(to, status.mode & 0o7777);
  for (const name of listXattrs(from)) {
    const value = name === 'security.selinux' ? undefined : getXattr(from, name);
    if (value) setXattr(to, name, value);
  }
  setTimesOfDescriptor(to, status.accessedNs, status.modifiedNs);
}
