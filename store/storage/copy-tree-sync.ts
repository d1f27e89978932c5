import {
  AT_FDCWD,
  chmodDescriptor,
  chownAt,
  chownDescriptor,
  closeDescriptor,
  linkAt,
  mkdirAt,
  mknodAt,
  OPEN,
  openAt,
  readLinkAt,
  setTimesAt,
  setTimesOfDescriptor,
  symlinkAt,
} from '../kernel/at.ts';
import { copyFileContents } from '../kernel/copy.ts';
import type { PathLike } from '../kernel/libc.ts';
import { type FileStatus, readDirectory, S_IF, statAt, statDescriptor } from '../kernel/stat.ts';
import { getXattr, listXattrs, setXattr } from '../kernel/xattr.ts';

/** Attributes that overlay keeps for itself in an upper directory and that mean nothing in a copy. */
const OVERLAY_PRIVATE = /^(?:trusted|user)\.overlay\.(?:origin|impure|nlink|upper|uuid|protattr)$/;

// Descriptors are opened past Node, which in a worker warns of those that its own calls close.

/** Descriptors of a file whose contents are still to copy. They are open until the next step is asked for. */
export interface ContentsStep {
  readonly from: number;
  readonly to: number;
}
type Steps = Generator<ContentsStep, void>;

interface Copying {
  readonly root: number;
  /** Contents of files beyond this are a step of their own. */
  readonly stepBytes: number;
  /** First place of each file with several links, as a path below {@link root}. */
  readonly linked: Map<string, Buffer>;
  readonly uid: number;
  readonly gid: number;
}

/**
 * Copies a directory with everything in it to `to`, which does not exist yet: owners, modes, times, extended
 * attributes, hard links, devices, names that are not UTF-8. Contents are shared by reflink where the file system can.
 */
export function copyTreeSync(from: string, to: string): void {
  copyTreeInSteps(from, to, Number.POSITIVE_INFINITY).next();
}

/** The same where the caller copies the contents of files beyond `stepBytes`, one at each step. */
export function* copyTreeInSteps(from: string, to: string, stepBytes: number): Steps {
  mkdirAt(AT_FDCWD, to, 0o700);
  const source = openAt(AT_FDCWD, from, OPEN.readOnly | OPEN.directory);
  const destination = openAt(AT_FDCWD, to, OPEN.readOnly | OPEN.directory);
  try {
    const { uid, gid } = statDescriptor(destination);
    const copying = { root: destination, stepBytes, linked: new Map(), uid, gid };
    yield* copyDirectory(copying, source, destination, Buffer.alloc(0));
  } finally {
    closeDescriptor(source);
    closeDescriptor(destination);
  }
}

function* copyDirectory(copying: Copying, source: number, destination: number, path: Buffer): Steps {
  for (const { name } of readDirectory(source)) {
    const status = statAt(source, name);
    const child = path.length === 0 ? name : Buffer.concat([path, Buffer.from('/'), name]);
    if ((status.mode & S_IF.mask) === S_IF.directory)
      yield* copySubdirectory(copying, source, destination, name, child);
    else yield* copyEntry(copying, source, destination, name, child, status);
  }
  dress(copying, destination, source, statDescriptor(source));
}

function* copySubdirectory(
  copying: Copying,
  source: number,
  destination: number,
  name: Buffer,
  path: Buffer,
): Steps {
  mkdirAt(destination, name, 0o700);
  const flags = OPEN.readOnly | OPEN.directory | OPEN.noFollow;
  const from = openAt(source, name, flags);
  try {
    const to = openAt(destination, name, flags);
    try {
      yield* copyDirectory(copying, from, to, path);
    } finally {
      closeDescriptor(to);
    }
  } finally {
    closeDescriptor(from);
  }
}

function* copyEntry(
  copying: Copying,
  source: number,
  destination: number,
  name: Buffer,
  path: Buffer,
  status: FileStatus,
): Steps {
  if (status.links > 1) {
    const key = `${status.device}:${status.inode}`;
    const first = copying.linked.get(key);
    if (first) {
      linkAt(copying.root, first, destination, name);
      return;
    }
    copying.linked.set(key, path);
  }
  const type = status.mode & S_IF.mask;
  if (type === S_IF.regular) {
    yield* copyFile(copying, source, destination, name, status);
    return;
  }
  if (type === S_IF.symlink) symlinkAt(readLinkAt(source, name), destination, name);
  else mknodAt(destination, name, status.mode, status.deviceMajor, status.deviceMinor);
  if (status.uid !== copying.uid || status.gid !== copying.gid)
    chownAt(destination, name, status.uid, status.gid);
  setTimesAt(destination, name, status.accessedNs, status.modifiedNs);
}

function* copyFile(
  copying: Copying,
  source: number,
  destination: number,
  name: PathLike,
  status: FileStatus,
): Steps {
  const from = openAt(source, name, OPEN.readOnly | OPEN.noFollow);
  try {
    const to = openAt(
      destination,
      name,
      OPEN.readWrite | OPEN.create | OPEN.exclusive | OPEN.noFollow,
      0o600,
    );
    try {
      if (status.sizeBytes > copying.stepBytes) yield { from, to };
      else copyFileContents(from, to);
      dress(copying, to, from, status);
    } finally {
      closeDescriptor(to);
    }
  } finally {
    closeDescriptor(from);
  }
}

/** Owner first, since changing it clears setuid bits and file capabilities. */
function dress(copying: Copying, to: number, from: number, status: FileStatus): void {
  if (status.uid !== copying.uid || status.gid !== copying.gid) chownDescriptor(to, status.uid, status.gid);
  chmodDescriptor(to, status.mode & 0o7777);
  for (const name of listXattrs(from)) {
    if (OVERLAY_PRIVATE.test(name) || name === 'security.selinux') continue;
    const value = getXattr(from, name);
    if (value) setXattr(to, name, value);
  }
  setTimesOfDescriptor(to, status.accessedNs, status.modifiedNs);
}
