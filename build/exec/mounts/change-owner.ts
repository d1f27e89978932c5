import { lchownSync, lstatSync, readdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { BuildError } from '../../error.ts';

/** Directories of the host that no container's user is to own, as containers/common has them. */
const FORBIDDEN = new Set(
  (
    '/ /bin /boot /dev /etc /etc/passwd /etc/pki /etc/shadow /home /lib /lib64 /media /opt /proc /root /run /sbin ' +
    '/srv /sys /tmp /usr /var /var/lib /var/log'
  ).split(' '),
);

/**
 * Gives a path of the host, with everything below, to a user; links themselves, never what they point to.
 * @throws BuildError `bad-mount` for a directory that the host itself lives in
 */
export function changeOwner(path: string, owner: { readonly uid: number; readonly gid: number }): void {
  if (FORBIDDEN.has(realpathSync(path)))
    throw new BuildError('bad-mount', `chowning host path "${path}" is not allowed`, {
      hint: `You can manually \`chown -R ${owner.uid}:${owner.gid} ${path}\`.`,
    });
  const pending = [path];
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    const status = lstatSync(at);
    if (status.uid !== owner.uid || status.gid !== owner.gid) lchownSync(at, owner.uid, owner.gid);
    if (status.isDirectory()) for (const name of readdirSync(at)) pending.push(join(at, name));
  }
}
