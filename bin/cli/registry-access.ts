import type { DockerAccess } from '../../transport/contract.ts';
import type { CommandIo, FlagSpec, Flags } from './contract.ts';
import { UsageError } from './error.ts';

/** `''` for commands with one image; `src-` and `dest-` for copies. */
export type AccessPrefix = '' | 'src-' | 'dest-';

/** The flags that say how to reach a registry, with skopeo's names. Short forms exist where there is no prefix. */
export function registryFlags(prefix: AccessPrefix = ''): FlagSpec[] {
  const side =
    prefix === '' ? 'the registry' : prefix === 'src-' ? 'the source registry' : 'the destination registry';
  return [
    { name: `${prefix}authfile`, kind: 'string', usage: `read credentials for ${side} from \`FILE\`` },
    { name: `${prefix}creds`, kind: 'string', usage: `use \`USERNAME[:PASSWORD]\` for ${side}` },
    { name: `${prefix}username`, kind: 'string', usage: `user name for ${side}` },
    { name: `${prefix}password`, kind: 'string', usage: `password for ${side}` },
    { name: `${prefix}no-creds`, kind: 'bool', usage: `reach ${side} without credentials` },
    { name: `${prefix}registry-token`, kind: 'string', usage: `send this bearer \`TOKEN\` to ${side}` },
    {
      name: `${prefix}cert-dir`,
      kind: 'string',
      usage: `use certificates (*.crt, *.cert, *.key) in \`DIRECTORY\` for ${side}`,
    },
    {
      name: `${prefix}tls-verify`,
      kind: 'optionalBool',
      usage: `require HTTPS and check the certificates of ${side}`,
    },
  ];
}

/**
 * Reads {@link registryFlags} into access options, those that the command declares. With a prefix, plain `--authfile` is
 * the fallback.
 * @throws UsageError `usage` where flags exclude each other
 */
export function registryAccess(
  flags: Flags,
  prefix: AccessPrefix,
  io: CommandIo,
  userAgent: string,
): DockerAccess {
  const given = (name: string) =>
    flags.declares(name) && flags.changed(name) ? flags.string(name) : undefined;
  const text = (name: string) => given(`${prefix}${name}`);
  const anonymous = `${prefix}no-creds`;
  const credentials = readCredentials(text, flags.declares(anonymous) && flags.bool(anonymous), prefix);
  const authFile = text('authfile') ?? given('authfile');
  const bearerToken = text('registry-token');
  const certificateDirectory = text('cert-dir');
  const verify = `${prefix}tls-verify`;
  const tlsVerify = flags.declares(verify) ? flags.optionalBool(verify) : undefined;
  return {
    environment: io.environment,
    userAgent,
    ...(credentials === undefined ? {} : { credentials }),
    ...(authFile === undefined ? {} : { authFile }),
    ...(bearerToken === undefined ? {} : { bearerToken }),
    ...(certificateDirectory === undefined ? {} : { certificateDirectory }),
    ...(tlsVerify === undefined ? {} : { tlsVerify }),
  };
}

function readCredentials(
  text: (name: string) => string | undefined,
  none: boolean,
  prefix: string,
): DockerAccess['credentials'] {
  const pair = text('creds');
  const username = text('username');
  const password = text('password');
  if (none && pair !== undefined)
    throw new UsageError('usage', 'creds and no-creds cannot be specified at the same time');
  if (none && username !== undefined)
    throw new UsageError('usage', 'username and no-creds cannot be specified at the same time');
  if (pair !== undefined && username !== undefined)
    throw new UsageError('usage', 'creds and username cannot be specified at the same time');
  if (username === undefined && password !== undefined)
    throw new UsageError('usage', 'username must be specified when password is specified');
  if (username !== undefined && password === undefined)
    throw new UsageError('usage', 'password must be specified when username is specified');
  if (none) return 'none';
  if (pair !== undefined) return splitCredentials(pair);
  if (username === undefined || password === undefined) return undefined;
  if (username === '') throw new UsageError('usage', `--${prefix}username is empty`);
  return { username, password };
}

/** `user:password`; the password may hold colons. @throws UsageError `usage` */
export function splitCredentials(text: string): { readonly username: string; readonly password: string } {
  if (text === '') throw new UsageError('usage', "credentials can't be empty");
  const colon = text.indexOf(':');
  if (colon === 0) throw new UsageError('usage', "username can't be empty");
  return colon < 0
    ? { username: text, password: '' }
    : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}
