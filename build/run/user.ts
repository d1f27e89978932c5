import { isSystemError } from '../../errors.ts';
import { BuildError } from '../error.ts';
import { openRoot, type RootHandle, readInRoot } from './rooted-path.ts';

/** Larger passwd and group files are refused (SECURITY B20). */
const LIMIT_BYTES = 10 * 1024 * 1024;
/** The highest id; 2^32-1 means "no change" to the kernel. */
const LAST_ID = 0xffff_fffe;

const NOBODY = 65534;

export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups from /etc/group, the primary group among them (SECURITY B18). */
  readonly groups: readonly number[];
  /** Home directory from /etc/passwd, else `/`. */
  readonly home: string;
  readonly name?: string;
}

interface PasswdLine {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}
interface GroupLine {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/**
 * Resolves `user[:group]`, names or ids, in the passwd and group files of a root file system.
 * Supplementary groups are those that list the user; a colon leaves them out, as in Buildah.
 * @throws BuildError `bad-user` for an unknown name or an id outside 0..4294967294
 */
export function resolveUser(rootfs: string, spec: string): ResolvedUser {
  using root = openRoot(rootfs);
  const colon = spec.indexOf(':');
  const userPart = (colon < 0 ? spec : spec.slice(0, colon)) || '0';
  const groupPart = colon < 0 ? '' : spec.slice(colon + 1);
  const passwd = passwdLines(root);
  const number = idOf(userPart);
  const line = passwd.find((entry) =>
    number === undefined ? entry.name === userPart : entry.uid === number,
  );
  if (number === undefined && line === undefined)
    throw new BuildError(
      'bad-user',
      `determining run uid: user: unknown user error looking up user "${userPart}"`,
    );
  const uid = number ?? (line as PasswdLine).uid;
  const groups = groupPart !== '' || line !== undefined ? groupLines(root) : [];
  const gid = groupPart === '' ? (line?.gid ?? 0) : groupId(groups, groupPart);
  const listed =
    colon < 0 && line !== undefined
      ? groups.filter((entry) => entry.members.includes(line.name)).map((entry) => entry.gid)
      : [];
  return { uid, gid, groups: [...new Set([gid, ...listed])], home: line?.home || '/', name: line?.name };
}

/** The highest id of the users and groups that a root file system lists, leaving nobody out; -1 for none. */
export function highestListedId(rootfs: string): number {
  using root = openRoot(rootfs);
  const isNobody = ({ name }: { readonly name: string }) => name === 'nobody' || name === 'nogroup';
  const ids = [
    ...passwdLines(root)
      .filter((line) => !isNobody(line))
      .flatMap(({ uid, gid }) => [uid, gid]),
    ...groupLines(root)
      .filter((line) => !isNobody(line))
      .map(({ gid }) => gid),
  ];
  return ids.filter((id) => id !== NOBODY).reduce((highest, id) => Math.max(highest, id), -1);
}

/** Resolves one group name or id. @throws BuildError `bad-user` */
export function resolveGroup(rootfs: string, group: string): number {
  const number = idOf(group);
  if (number !== undefined) return number;
  using root = openRoot(rootfs);
  return groupId(groupLines(root), group);
}

function groupId(groups: readonly GroupLine[], group: string): number {
  const number = idOf(group);
  if (number !== undefined) return number;
  const line = groups.find((entry) => entry.name === group);
  if (line) return line.gid;
  throw new BuildError(
    'bad-user',
    `determining run gid: group: unknown group error looking up group "${group}"`,
  );
}

/** A decimal id, or nothing for a name. Numbers that are no id are errors, never names or zero (SECURITY B19). */
function idOf(text: string): number | undefined {
  if (!/^[-+]?[0-9]/.test(text)) return undefined;
  if (/^[0-9]+$/.test(text)) {
    const id = Number(text);
    if (id <= LAST_ID) return id;
    throw new BuildError('bad-user', `the id ${text} is out of range (0 to ${LAST_ID})`);
  }
  if (/^[-+]|^0[xX]|^[0-9]+[eE.][0-9]*$/.test(text))
    throw new BuildError('bad-user', `"${text}" is neither a user or group id nor a name`);
  return undefined;
}

function passwdLines(root: RootHandle): PasswdLine[] {
  return lines(root, '/etc/passwd', 7).flatMap((fields) => {
    const uid = fileId(fields[2]);
    const gid = fileId(fields[3]);
    if (uid === undefined || gid === undefined) return [];
    return [{ name: fields[0] ?? '', uid, gid, home: fields[5] ?? '' }];
  });
}

function groupLines(root: RootHandle): GroupLine[] {
  return lines(root, '/etc/group', 4).flatMap((fields) => {
    const gid = fileId(fields[2]);
    if (gid === undefined) return [];
    return [{ name: fields[0] ?? '', gid, members: (fields[3] ?? '').split(',').map((name) => name.trim()) }];
  });
}

function fileId(text = ''): number | undefined {
  if (!/^[0-9]{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= LAST_ID ? id : undefined;
}

function lines(root: RootHandle, path: string, fields: number): string[][] {
  return readable(root, path)
    .split('\n')
    .filter((line) => !/^\s*#/.test(line))
    .map((line) => line.split(':'))
    .filter((line) => line.length === fields);
}

/** A link that leads round in circles is a file that nobody can read: it lists nobody. */
function readable(root: RootHandle, path: string): string {
  try {
    return readInRoot(root, path, LIMIT_BYTES) ?? '';
  } catch (error) {
    if (error instanceof BuildError && isSystemError(error.cause, 'ELOOP')) return '';
    throw error;
  }
}
