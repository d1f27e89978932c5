import { readSecret } from './mounts/secret.ts';
import type { BuildOptions } from './options.ts';

/**
 * The Authorization header that secrets of BuildKit's names give to a source: HTTP_AUTH_HEADER_<host> and
 * HTTP_AUTH_TOKEN_<host> for a URL of ADD, GIT_AUTH_HEADER and GIT_AUTH_TOKEN, with `.<host>` or without, for git.
 */
export function authorizationOf(
  options: Pick<BuildOptions, 'secrets' | 'run'>,
): (kind: 'http' | 'git', url: URL) => string | undefined {
  const secretValue = (id: string) => {
    const secret = options.secrets?.get(id);
    return secret && oneLine(readSecret(id, secret, options.run.hostEnvironment).toString('utf8'));
  };
  return (kind, url) => {
    if (kind === 'http') {
      const header = secretValue(`HTTP_AUTH_HEADER_${url.hostname}`);
      const token = header === undefined ? secretValue(`HTTP_AUTH_TOKEN_${url.hostname}`) : undefined;
      return header ?? (token === undefined ? undefined : `Bearer ${token}`);
    }
    const first = (name: string) => secretValue(`${name}.${url.host}`) ?? secretValue(name);
    const token = first('GIT_AUTH_HEADER') === undefined ? first('GIT_AUTH_TOKEN') : undefined;
    if (token === undefined) return first('GIT_AUTH_HEADER');
    return `basic ${Buffer.from(`x-access-token:${token}`).toString('base64')}`;
  };
}

/** A final newline is the file's; others would add headers. */
function oneLine(text: string): string {
  return text.trim().replaceAll(/[\r\n]+/g, ' ');
}
