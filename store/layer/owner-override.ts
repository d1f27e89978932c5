import { isSystemError } from '../../errors.ts';
import { StoreError } from '../error.ts';
import { S_IF } from '../kernel/stat.ts';
import { getXattr, setXattr, type XattrTarget } from '../kernel/xattr.ts';
import type { PackOptions } from './contract.ts';

/**
 * The attribute in which containers/storage and fuse-overlayfs keep the owner and mode of files whose real ones
 * could not be set: `uid:gid:mode:type`, the mode in octal, devices as `char-1-3` or `block-8-0`.
 */
export const OVERRIDE_XATTR = 'user.containers.override_stat';

/** True for a process that can give files to nobody: neither root nor root of a user namespace. */
export function isOrdinaryUser(): boolean {
  return (process.geteuid?.() ?? 0) !== 0;
}

/**
 * How trees are packed that an ordinary user made: the user's own files are root's, as in a user namespace with one id,
 * and the owners that could not be set are in {@link OVERRIDE_XATTR}. Nothing for root.
 */
export function packingOwners(): Pick<PackOptions, 'ownerOverrides' | 'idMappings'> {
  if (!isOrdinaryUser()) return {};
  const own = (hostId = 0) => [{ containerId: 0, hostId, size: 1 }];
  return {
    ownerOverrides: true,
    idMappings: { uids: own(process.geteuid?.()), gids: own(process.getegid?.()) },
  };
}

/** Owner, mode and device of a file, as an image knows them. */
export interface OverriddenStatus {
  readonly uid: number;
  readonly gid: number;
  /** Type ({@link S_IF}) and permission bits. */
  readonly mode: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

const TYPES: readonly (readonly [string, number])[] = [
  ['file', S_IF.regular],
  ['dir', S_IF.directory],
  ['symlink', S_IF.symlink],
  ['pipe', S_IF.fifo],
  ['socket', S_IF.socket],
  ['block', S_IF.block],
  ['char', S_IF.character],
];

/** Writes the attribute; a file system or file type without user attributes is passed over. */
export function setOverride(target: XattrTarget, status: OverriddenStatus): void {
  const type = TYPES.find(([, bits]) => bits === (status.mode & S_IF.mask))?.[0] ?? 'file';
  const device = type === 'block' || type === 'char' ? `-${status.deviceMajor}-${status.deviceMinor}` : '';
  const mode = (status.mode & 0o7777).toString(8).padStart(4, '0');
  try {
    setXattr(target, OVERRIDE_XATTR, `${status.uid}:${status.gid}:${mode}:${type}${device}`);
  } catch (error) {
    if (!isSystemError(error, 'ENOTSUP', 'EPERM')) throw error;
  }
}

/**
 * Gives a file to somebody; where an ordinary user may not, notes the owner and the mode, for {@link packingOwners}.
 * To be called before the file's mode is set.
 */
export function giveOwner(chown: () => void, target: XattrTarget, status: OverriddenStatus): void {
  if (mayGive(chown, status, isOrdinaryUser())) return;
  const needed = usableMode(status.mode) !== status.mode;
  if (status.uid !== 0 || status.gid !== 0 || needed) setOverride(target, status);
}

/**
 * Changes an owner. False where it may not and `tolerant` lets that pass.
 * @throws StoreError `system` for an owner that a user namespace has no id for
 */
export function mayGive(
  chown: () => void,
  { uid, gid }: { readonly uid: number; readonly gid: number },
  tolerant: boolean,
): boolean {
  try {
    chown();
    return true;
  } catch (cause) {
    if (tolerant && isSystemError(cause, 'EPERM', 'EINVAL')) return false;
    if (!isSystemError(cause, 'EINVAL')) throw cause;
    const lack = 'potentially insufficient UIDs or GIDs available in user namespace';
    throw new StoreError('system', `${lack} (requested ${uid}:${gid})`, {
      hint: 'Give this user ranges of ids in /etc/subuid and /etc/subgid.',
      cause,
    });
  }
}

/** The mode that an ordinary user can go on working with; the wanted one is noted by {@link giveOwner}. */
export function usableMode(mode: number): number {
  if (!isOrdinaryUser()) return mode;
  return mode | ((mode & S_IF.mask) === S_IF.directory ? 0o700 : 0o600);
}

/** The attribute read; undefined where there is none or it makes no sense. `mode` without a type keeps that of `real`. */
export function readOverride(target: XattrTarget, real: OverriddenStatus): OverriddenStatus | undefined {
  const value = getXattr(target, OVERRIDE_XATTR)?.toString('latin1');
  const match =
    value === undefined ? undefined : /^(\d+):(\d+):([0-7]+)(?::([a-z]+)(?:-(\d+)-(\d+))?)?/.exec(value);
  if (!match) return undefined;
  const type = TYPES.find(([name]) => name === match[4])?.[1] ?? real.mode & S_IF.mask;
  return {
    uid: Number(match[1]),
    gid: Number(match[2]),
    mode: type | (Number.parseInt(match[3]!, 8) & 0o7777),
    deviceMajor: Number(match[5] ?? real.deviceMajor),
    deviceMinor: Number(match[6] ?? real.deviceMinor),
  };
}
