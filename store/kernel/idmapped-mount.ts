import { closeSync } from 'node:fs';
import { AT_FDCWD } from './at.ts';
import { cString, type PathLike, systemError } from './libc.ts';
import { rawSyscall } from './syscall.ts';

const OPEN_TREE_CLONE = 1;
const OPEN_TREE_CLOEXEC = 0o2000000;
const AT_EMPTY_PATH = 0x1000;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const MOUNT_ATTR_IDMAP = 0x100000n;

/**
 * Mounts `source` once more at `target`, with ids as a user namespace maps them (mount_setattr(2), Linux 5.12; as a
 * lower directory of overlay Linux 5.19).
 * @throws a system error: `EINVAL` where the file system cannot, `ENOSYS` where the kernel cannot
 */
export function mountIdmapped(source: PathLike, target: PathLike, userNamespace: number): void {
  const tree = rawSyscall('openTree', AT_FDCWD, cString(source), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (tree < 0) throw systemError(-tree, 'open_tree', source);
  try {
    const attributes = Buffer.alloc(32);
    attributes.writeBigUInt64LE(MOUNT_ATTR_IDMAP, 0);
    attributes.writeBigUInt64LE(BigInt(userNamespace), 24);
    const set = rawSyscall('mountSetattr', tree, cString(''), AT_EMPTY_PATH, attributes, attributes.length);
    if (set < 0) throw systemError(-set, 'mount_setattr', source);
    const moved = rawSyscall(
      'moveMount',
      tree,
      cString(''),
      AT_FDCWD,
      cString(target),
      MOVE_MOUNT_F_EMPTY_PATH,
    );
    if (moved < 0) throw systemError(-moved, 'move_mount', target);
  } finally {
    closeSync(tree);
  }
}
