import {
  chmodSync,
  copyFileSync,
  lchownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  type Stats,
  statSync,
} from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { ifThere } from '../../errors.ts';
import { BuildError } from '../error.ts';
import type { SpecMount } from './runtime-spec.ts';

/** The administrator's and the distribution's lists (containers-mounts.conf(5)); the first that is there counts. */
export const MOUNTS_FILES: readonly string[] = [
  '/etc/containers/mounts.conf',
  '/usr/share/containers/mounts.conf',
];

/**
 * The automatic mounts of mounts.conf, `HOST[:CONTAINER]` a line: host files and directories are copied into
 * `directory`, links followed, so that a command changes its copy alone, and bound from there. Where the image has a
 * link at the destination, the mount follows it inside the root file system like every other (SECURITY B23).
 * @param files candidates in order
 * @throws BuildError `bad-mount` for a destination that is not absolute or a source that is neither file nor directory
 */
export function subscriptionMounts(
  files: readonly string[],
  directory: string,
  owner: { readonly uid: number; readonly gid: number },
): SpecMount[] {
  const texts = files.map((path) => ifThere(() => readFileSync(path, 'utf8'), 'ENOENT', 'ENOTDIR'));
  const text = texts.find((found) => found !== undefined) ?? '';
  const lines = text.split('\n').map((line) => line.trim());
  return lines
    .filter((line) => line.startsWith('/'))
    .flatMap((line) => {
      const [source = '', destination = source] = line.split(':');
      if (!destination.startsWith('/'))
        throw new BuildError('bad-mount', `mounts.conf: "${line}" names no absolute path in the container`);
      const status = statSync(source, { throwIfNoEntry: false });
      if (!status) return [];
      const copy = join(directory, posix.normalize(destination));
      mkdirSync(dirname(copy), { recursive: true });
      copyTree(realpathSync(source), status, copy, owner);
      return [{ source: copy, destination, type: 'bind', options: ['bind', 'rprivate'] }];
    });
}

function copyTree(
  source: string,
  status: Stats,
  target: string,
  owner: { readonly uid: number; readonly gid: number },
): void {
  if (status.isDirectory()) {
    mkdirSync(target, { recursive: true });
    for (const name of readdirSync(source)) {
      const path = join(source, name);
      const inner = statSync(path, { throwIfNoEntry: false });
      if (inner) copyTree(path, inner, join(target, name), owner);
    }
  } else if (status.isFile()) copyFileSync(source, target);
  else throw new BuildError('bad-mount', `mounts.conf: unsupported file type for: "${source}"`);
  chmodSync(target, status.mode & 0o7777);
  if (owner.uid !== 0 || owner.gid !== 0) lchownSync(target, owner.uid, owner.gid);
}
