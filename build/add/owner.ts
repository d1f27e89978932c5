import { BuildError } from '../error.ts';
import { fromText, type RootedDirectory } from './rooted.ts';

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

const PASSWD_LIMIT_BYTES = 16 * 1024 * 1024;
const ID_MAX = 0xfffffffe;

/** The owner that a spec of numbers alone means, which needs no files to be looked up in; undefined for others. */
export function numericOwner(spec: string): Owner | undefined {
  const parts = /^(\d+)(?::(\d+))?$/.exec(spec);
  if (!parts) return undefined;
  const [uid, gid] = [Number(parts[1]), Number(parts[2] ?? parts[1])];
  return uid <= ID_MAX && gid <= ID_MAX ? { uid, gid } : undefined;
}

/**
 * The owner that `--chown` names: `user[:group]`, names or numbers. A lone number is user and group; a lone name takes
 * its group from the root file system's passwd file.
 * @throws BuildError `bad-user`
 */
export function lookUpOwner(root: RootedDirectory, spec: string): Owner {
  const colon = spec.indexOf(':');
  const user = colon < 0 ? spec : spec.slice(0, colon);
  const group = colon < 0 ? '' : spec.slice(colon + 1);
  if (user === '' && group === '')
    throw new BuildError('bad-user', `looking up UID/GID for "${spec}": can't find uid for user ${spec}`);
  const numeric = (text: string) => (/^\d+$/.test(text) && Number(text) <= ID_MAX ? Number(text) : undefined);
  const account = user === '' ? { uid: 0, gid: 0 } : accountOf(root, spec, user, numeric(user));
  if (group === '') return account;
  const gid = numeric(group) ?? groupId(root, group);
  if (gid === undefined) throw unknown(spec, 'group', group);
  return { uid: account.uid, gid };
}

function accountOf(root: RootedDirectory, spec: string, user: string, uid: number | undefined): Owner {
  if (uid !== undefined) return { uid, gid: uid };
  for (const fields of entries(root, 'etc/passwd')) {
    const [name, , id, gid] = fields;
    if (name === user && id !== undefined && gid !== undefined) return { uid: Number(id), gid: Number(gid) };
  }
  throw unknown(spec, 'user', user);
}

function groupId(root: RootedDirectory, group: string): number | undefined {
  const found = entries(root, 'etc/group').find(([name]) => name === group);
  return found?.[2] === undefined ? undefined : Number(found[2]);
}

function entries(root: RootedDirectory, path: string): string[][] {
  const text = root.readText(fromText(path), PASSWD_LIMIT_BYTES) ?? '';
  return text
    .split('\n')
    .filter((line) => line && !line.startsWith('#'))
    .map((line) => line.split(':'));
}

function unknown(spec: string, kind: 'user' | 'group', name: string): BuildError {
  const id = kind === 'user' ? 'uid' : 'gid';
  return new BuildError(
    'bad-user',
    `looking up UID/GID for "${spec}": determining run ${id}: ${kind}: unknown ${kind} error looking up ${kind} "${name}"`,
  );
}
