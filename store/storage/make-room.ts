import { closeSync, existsSync, fstatSync, ftruncateSync, readdirSync, renameSync } from 'node:fs';
import { join, relative } from 'node:path';
import { isSystemError } from '../../errors.ts';
import { AT_FDCWD, OPEN, openAt, openAt2, RESOLVE } from '../kernel/at.ts';
import type { Foundation } from './foundation.ts';
import type { LayerRow } from './records.ts';
import { removeTree } from './remove-tree.ts';

/**
 * Runs `action`, which writes records; where the disk is full, the files of the layers that are about to go make room
 * first, and it runs again.
 */
export async function withRoom<T>(
  { driver }: Foundation,
  doomed: readonly LayerRow[],
  action: () => T | Promise<T>,
): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    for (const { id } of doomed) await driver.empty(id);
    return await action();
  }
}

function isDiskFull(error: unknown): boolean {
  if (isSystemError(error, 'ENOSPC', 'EDQUOT')) return true;
  return error instanceof Error && error.cause !== undefined && isDiskFull(error.cause);
}

/**
 * Removes a tree without needing any space for it. It loses its name first: who is killed on the way leaves a layer
 * that cannot be mounted, never one that lacks some of its files.
 */
export async function removeInPlace(path: string): Promise<void> {
  const nameless = `${path}.gone`;
  await removeTree(nameless);
  if (!existsSync(path)) return;
  renameSync(path, nameless);
  cutFiles(nameless);
  await removeTree(nameless);
}

/**
 * A removed file takes its space along while another mount namespace still has the layer mounted. Who is in there may
 * put a link in a file's place meanwhile: each is opened below the tree, through no link, and cut by its descriptor.
 */
function cutFiles(directory: string): void {
  const root = openAt(AT_FDCWD, directory, OPEN.readOnly | OPEN.directory | OPEN.noFollow);
  try {
    for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true }))
      if (entry.isFile()) cutFile(root, relative(directory, join(entry.parentPath, entry.name)));
  } finally {
    closeSync(root);
  }
}

function cutFile(root: number, path: string): void {
  let file: number;
  try {
    file = openAt2(root, path, OPEN.writeOnly | OPEN.nonBlock, RESOLVE.beneath | RESOLVE.noSymlinks);
  } catch (error) {
    // A name that is not UTF-8, or a file that may not be written: removing it frees what it can.
    if (isSystemError(error)) return;
    throw error;
  }
  try {
    const status = fstatSync(file);
    if (status.isFile() && status.nlink === 1) ftruncateSync(file);
  } finally {
    closeSync(file);
  }
}
