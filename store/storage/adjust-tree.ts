import { closeSync, lstatSync } from 'node:fs';
import { join } from 'node:path';
import { ifThere } from '../../errors.ts';
import { AT_FDCWD, OPEN, openAt, setTimesAt } from '../kernel/at.ts';
import { readDirectory, S_IF, statAt } from '../kernel/stat.ts';
import { listXattrs, removeXattr } from '../kernel/xattr.ts';
import { removeTree } from './remove-tree.ts';

/** What a commit makes of its files besides packing them. */
export interface TreeAdjustments {
  readonly timestamp?: { readonly seconds: number; readonly mode: 'set' | 'clamp' };
  readonly exclude?: readonly string[];
  /** What loses its access control lists, by paths of latin1. */
  readonly withAccessLists?: readonly string[];
}

/**
 * Brings a layer's directory in line with the changeset that was packed from it: excluded paths go, times become what
 * the changeset says. Without this the layer would look different here than where it is pulled.
 */
export async function adjustTree(directory: string, adjustments: TreeAdjustments): Promise<void> {
  const { timestamp, exclude, withAccessLists } = adjustments;
  for (const path of exclude ?? []) await removeInside(directory, path);
  for (const path of withAccessLists ?? []) removeAccessLists(directory, path);
  if (timestamp === undefined) return;
  const wantedNs = BigInt(timestamp.seconds) * 1_000_000_000n;
  const root = openAt(AT_FDCWD, directory, OPEN.readOnly | OPEN.directory);
  try {
    setTimesBelow(root, wantedNs, timestamp.mode === 'set');
  } finally {
    closeSync(root);
  }
  const status = statAt(AT_FDCWD, directory);
  if (timestamp.mode === 'set' || status.modifiedNs > wantedNs)
    setTimesAt(AT_FDCWD, directory, wantedNs, wantedNs);
}

/**
 * Only through real directories: a link in the layer must not lead the removal elsewhere. The directory that holds the
 * path keeps the times with which it was packed.
 */
async function removeInside(directory: string, path: string): Promise<void> {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.length === 0 || parts.includes('..')) return;
  for (let depth = 1; depth < parts.length; depth += 1) {
    const parent = lstatSync(join(directory, ...parts.slice(0, depth)), { throwIfNoEntry: false });
    if (!parent?.isDirectory()) return;
  }
  const parent = join(directory, ...parts.slice(0, -1));
  const { accessedNs, modifiedNs } = statAt(AT_FDCWD, parent);
  await removeTree(join(directory, ...parts));
  setTimesAt(AT_FDCWD, parent, accessedNs, modifiedNs);
}

const ACCESS_LISTS = ['system.posix_acl_access', 'system.posix_acl_default'];

/** The mode stays as it was packed. What is gone meanwhile had no place in the layer. */
function removeAccessLists(directory: string, path: string): void {
  const place = Buffer.concat([Buffer.from(`${directory}/`), Buffer.from(path, 'latin1')]);
  const names = ifThere(() => listXattrs(place)) ?? [];
  for (const name of ACCESS_LISTS) if (names.includes(name)) removeXattr(place, name);
}

function setTimesBelow(directory: number, wantedNs: bigint, always: boolean): void {
  for (const { name } of readDirectory(directory)) {
    const status = statAt(directory, name);
    if ((status.mode & S_IF.mask) === S_IF.directory) {
      const child = openAt(directory, name, OPEN.readOnly | OPEN.directory | OPEN.noFollow);
      try {
        setTimesBelow(child, wantedNs, always);
      } finally {
        closeSync(child);
      }
    }
    if (always || status.modifiedNs > wantedNs) setTimesAt(directory, name, wantedNs, wantedNs);
  }
}
