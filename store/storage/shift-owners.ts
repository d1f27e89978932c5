import { closeSync } from 'node:fs';
import { AT_FDCWD, chmodDescriptor, chownAt, chownDescriptor, OPEN, openAt } from '../kernel/at.ts';
import { readDirectory, S_IF, statAt, statDescriptor } from '../kernel/stat.ts';
import { getXattr, setXattr } from '../kernel/xattr.ts';
import type { IdMappings } from '../layer/contract.ts';
import { hostIds } from './id-mappings.ts';

const CAPABILITY = 'security.capability';

/** Gives every file below a directory the host's ids of its owner, keeping setuid bits and file capabilities. */
export function shiftOwners(directory: string, mappings: IdMappings): void {
  const root = openAt(AT_FDCWD, directory, OPEN.readOnly | OPEN.directory);
  try {
    shiftDirectory(root, mappings, new Set());
  } finally {
    closeSync(root);
  }
}

function shiftDirectory(directory: number, mappings: IdMappings, done: Set<string>): void {
  for (const { name } of readDirectory(directory)) {
    const status = statAt(directory, name);
    const type = status.mode & S_IF.mask;
    if (status.links > 1 && type !== S_IF.directory) {
      const key = `${status.device}:${status.inode}`;
      if (done.has(key)) continue;
      done.add(key);
    }
    if (type !== S_IF.directory && type !== S_IF.regular) {
      const { uid, gid } = hostIds(mappings, status);
      chownAt(directory, name, uid, gid);
      continue;
    }
    const flags = OPEN.readOnly | OPEN.noFollow | (type === S_IF.directory ? OPEN.directory : OPEN.nonBlock);
    const child = openAt(directory, name, flags);
    try {
      if (type === S_IF.directory) shiftDirectory(child, mappings, done);
      else shiftOpened(child, mappings);
    } finally {
      closeSync(child);
    }
  }
  shiftOpened(directory, mappings);
}

function shiftOpened(fd: number, mappings: IdMappings): void {
  const status = statDescriptor(fd);
  const { uid, gid } = hostIds(mappings, status);
  const capability = getXattr(fd, CAPABILITY);
  chownDescriptor(fd, uid, gid);
  chmodDescriptor(fd, status.mode & 0o7777);
  if (capability) setXattr(fd, CAPABILITY, capability);
}
