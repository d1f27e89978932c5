import { type FileStatus, S_IF } from '../kernel/stat.ts';

/** Names by which an archive deletes what the layers below hold: OCI image-spec v1.1 layer.md. */
export const WHITEOUT_PREFIX = '.wh.';
export const OPAQUE_NAME = '.wh..wh..opq';
/** What AUFS kept for itself; not part of the tree. */
export const AUFS_PREFIX = '.wh..wh.';
/** AUFS kept the targets of hard links here; they serve the links of the archive and then go. */
export const AUFS_LINKS = '.wh..wh.plnk';

/** The character device 0:0 by which overlayfs hides a name of the layers below. */
export function isWhiteout(status: Pick<FileStatus, 'mode' | 'deviceMajor' | 'deviceMinor'>): boolean {
  return (status.mode & S_IF.mask) === S_IF.character && status.deviceMajor === 0 && status.deviceMinor === 0;
}
