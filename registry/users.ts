import { createHash, timingSafeEqual } from 'node:crypto';
import { RegistryError } from './error.ts';

/** Decides whether a user name and password belong together. */
export interface Users {
  verify(username: string, password: string): boolean;
}

/**
 * Users from `name:secret` lines as htpasswd writes them with `-p` (plain) or `-s` (`{SHA}` and base64). Empty lines and
 * lines that start with `#` are skipped.
 * @throws RegistryError `bad-option` for another hash, such as bcrypt, which Node cannot compute
 */
export function parseUsers(text: string): Users {
  const secrets = new Map<string, string>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line === '' || line.startsWith('#')) continue;
    const colon = line.indexOf(':');
    if (colon <= 0)
      throw new RegistryError('bad-option', `line ${index + 1} of the user list is not name:secret`);
    const secret = line.slice(colon + 1);
    if (/^\$(?:2[aby]?|apr1|5|6)\$/.test(secret))
      throw new RegistryError('bad-option', `line ${index + 1} of the user list has an unsupported hash`, {
        hint: 'make it with htpasswd -s, or write the password in plain text into a file of mode 0600',
      });
    secrets.set(line.slice(0, colon), secret);
  }
  return { verify: (username, password) => matches(secrets.get(username), password) };
}

function matches(secret: string | undefined, password: string): boolean {
  if (secret === undefined) return false;
  const hashed = secret.startsWith('{SHA}');
  const given = hashed ? `{SHA}${createHash('sha1').update(password).digest('base64')}` : password;
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(secret));
}
