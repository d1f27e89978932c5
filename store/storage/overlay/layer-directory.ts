import { chmodSync, chownSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { IdMappings } from '../../layer/contract.ts';
import { hostIds, rootIds } from '../id-mappings.ts';
import { makeLink, randomLinkName } from './links.ts';

/** Mode of a root directory that nothing says anything about. */
const DEFAULT_MODE = 0o555;

export interface NewLayerDirectory {
  readonly home: string;
  readonly id: string;
  /** Content of the `lower` file; absent for a base layer. */
  readonly lower: string | undefined;
  readonly idMappings: IdMappings | undefined;
  /** Where it is built before it is renamed into its place; absent: in its place. */
  readonly workshop?: string;
  /** Makes the diff directory. */
  readonly fillDiff: (diff: string) => void;
}

/** Makes `<home>/<id>` with all that belongs to a layer, and its short link. */
export function makeLayerDirectory({
  home,
  id,
  lower,
  idMappings,
  workshop,
  fillDiff,
}: NewLayerDirectory): void {
  const final = join(home, id);
  const directory = workshop ?? final;
  const owner = rootIds(idMappings);
  const make = (path: string) => {
    mkdirSync(path, { mode: 0o700 });
    giveTo(path, owner);
  };
  make(directory);
  fillDiff(join(directory, 'diff'));
  const link = randomLinkName();
  makeLink(home, id, link);
  writeFileSync(join(directory, 'link'), link, { mode: 0o644 });
  make(join(directory, 'work'));
  make(join(directory, 'merged'));
  if (lower === undefined) make(join(directory, 'empty'));
  else writeFileSync(join(directory, 'lower'), lower, { mode: 0o644 });
  if (directory !== final) renameSync(directory, final);
}

/** The root of a layer looks like that of its parent, `model`. */
export function dressRoot(
  directory: string,
  model: string | undefined,
  idMappings: IdMappings | undefined,
): void {
  if (model === undefined) {
    giveTo(directory, rootIds(idMappings));
    chmodSync(directory, DEFAULT_MODE);
    return;
  }
  const status = statSync(model);
  const { uid, gid } = hostIds(idMappings, status);
  const own = statSync(directory);
  if (own.uid !== uid || own.gid !== gid) chownSync(directory, uid, gid);
  chmodSync(directory, status.mode & 0o7777);
}

/** Takes the diff directory away from a layer, which is left empty. */
export function takeDiff(layerDirectory: string, to: string): void {
  const diff = join(layerDirectory, 'diff');
  renameSync(diff, to);
  const model = statSync(to);
  mkdirSync(diff, { mode: 0o700 });
  chownSync(diff, model.uid, model.gid);
  chmodSync(diff, model.mode & 0o7777);
  // The work directory may refer to the upper directory that is gone.
  const work = join(layerDirectory, 'work');
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { mode: 0o700 });
  chownSync(work, model.uid, model.gid);
}

function giveTo(path: string, owner: { readonly uid: number; readonly gid: number }): void {
  if (owner.uid !== 0 || owner.gid !== 0) chownSync(path, owner.uid, owner.gid);
}
