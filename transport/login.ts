import {
  type AuthOptions,
  findCredentials,
  removeAllCredentials,
  removeCredentials,
  storeCredentials,
} from '../config/auth.ts';
import { primaryAuthFile, requireAuthFile } from '../config/auth-file.ts';
import type { Credentials } from '../config/credential-helper.ts';
import { ConfigError } from '../config/error.ts';
import { ImageError } from '../image/error.ts';
import { parseReference } from '../image/reference.ts';
import type { DockerAccess, TransportContext } from './contract.ts';
import { DockerSession } from './docker/access.ts';
import { discardBody } from './docker/read-body.ts';
import { registryError } from './docker/registry-error.ts';
import { TransportError } from './error.ts';

/** What logging in and out needs from the command. */
export interface LoginContext extends Pick<TransportContext, 'signal' | 'onWarning'> {
  readonly docker: DockerAccess;
  /** Result lines, for stdout. */
  readonly print: (line: string) => void;
}

export interface LoginOptions {
  readonly username?: string;
  readonly password?: string;
  /** The password's text, from stdin (`--password-stdin`); line ends are dropped. */
  readonly passwordFromStdin?: string;
  /** Print the user that is logged in, and nothing else. */
  readonly getLogin?: boolean;
  /** A key may be a namespace or repository below the registry. Default false: only its host counts. */
  readonly acceptRepositories?: boolean;
  /** Print where the credentials were stored. */
  readonly verbose?: boolean;
  /** Asks a person; absent: nobody can be asked. `hidden` for passwords. */
  readonly ask?: (prompt: string, options: { readonly hidden: boolean }) => Promise<string>;
}

/**
 * Checks credentials against the registry and keeps them (containers/common pkg/auth, with its wording).
 * @param registry undefined: the first unqualified-search registry
 * @throws TransportError `unauthorized`, `bad-option`, `network`; ConfigError
 */
export async function login(
  registry: string | undefined,
  context: LoginContext,
  options: LoginOptions,
): Promise<void> {
  const session = new DockerSession(context.docker);
  const auth = await session.authOptions(context.signal);
  const key = await credentialsKey(registry, session, options.acceptRepositories ?? false, 'login to');
  const host = key.split('/')[0] as string;
  warnAboutDockerConfig(context, auth);
  const known = await findCredentials(key, auth);
  if (options.getLogin) {
    if (!known?.username) throw new TransportError('unauthorized', `not logged into ${key}`);
    context.print(known.username);
    return;
  }
  if (known?.identityToken)
    throw new TransportError('bad-option', 'currently logged in, auth file contains an Identity token');
  const given = passwordOf(options);
  if (!options.username && !given && known?.username && known.password) {
    context.print(`Authenticating with existing credentials for ${key}`);
    if (await areValid(session, host, known, context)) {
      context.print(`Existing credentials are valid. Already logged in to ${host}`);
      return;
    }
    context.print('Existing credentials are invalid, please enter valid username and password');
  }
  const credentials = await complete(options, given, known);
  await verify(session, host, key, credentials, context);
  const where = await storeCredentials(key, credentials, auth);
  if (options.verbose) context.print(`Used:  ${where}`);
  context.print('Login Succeeded!');
}

export interface LogoutOptions {
  /** Every registry; `registry` must be undefined. */
  readonly all?: boolean;
  readonly acceptRepositories?: boolean;
}

/** @throws TransportError `bad-option`, `unauthorized` when not logged in; ConfigError */
export async function logout(
  registry: string | undefined,
  context: LoginContext,
  options: LogoutOptions,
): Promise<void> {
  const session = new DockerSession(context.docker);
  const auth = await session.authOptions(context.signal);
  await requireAuthFile({ ...auth, environment: { ...auth.environment, REGISTRY_AUTH_FILE: undefined } });
  if (options.all) {
    if (registry !== undefined) throw new TransportError('bad-option', '--all takes no arguments');
    await removeAllCredentials(auth);
    context.print('Removed login credentials for all registries');
    return;
  }
  const key = await credentialsKey(registry, session, options.acceptRepositories ?? false, 'log out from');
  try {
    await removeCredentials(key, auth);
  } catch (error) {
    if (!(error instanceof ConfigError) || error.code !== 'not-logged-in') throw error;
    return notLoggedIn(session, key, auth, context);
  }
  context.print(`Removed login credentials for ${key}`);
}

/** Credentials may still be found in a place that is never written, such as Docker's. */
async function notLoggedIn(
  session: DockerSession,
  key: string,
  auth: AuthOptions,
  context: LoginContext,
): Promise<void> {
  const known = await findCredentials(key, auth);
  if (
    known?.username &&
    known.password &&
    (await areValid(session, key.split('/')[0] as string, known, context))
  ) {
    context.print(
      `Not logged into ${key} with current tool. Existing credentials were established via docker login. Please use docker logout instead.`,
    );
    return;
  }
  throw new TransportError('unauthorized', `not logged into ${key}`);
}

async function credentialsKey(
  registry: string | undefined,
  session: DockerSession,
  acceptRepositories: boolean,
  action: string,
): Promise<string> {
  if (registry === undefined) {
    const [first] = (await session.registries()).searchRegistries;
    if (first === undefined)
      throw new TransportError(
        'bad-option',
        'no registries found in registries.conf, a registry must be provided',
        {
          hint: `name the registry to ${action}`,
        },
      );
    return first;
  }
  const key = /^https?:\/\//.test(registry) && URL.canParse(registry) ? new URL(registry).host : registry;
  const host = key.split('/')[0] as string;
  if (!acceptRepositories || host === key) return host;
  try {
    const name = parseReference(key);
    if (name.tag || name.digest)
      throw new TransportError('bad-option', `reference ${JSON.stringify(key)} contains tag or digest`);
    return key;
  } catch (cause) {
    if (!(cause instanceof ImageError)) throw cause;
    throw new TransportError('bad-option', `parse reference from ${JSON.stringify(key)}: ${cause.message}`, {
      cause,
    });
  }
}

function passwordOf({ password, passwordFromStdin, username }: LoginOptions): string | undefined {
  if (passwordFromStdin === undefined) return password;
  if (password) throw new TransportError('bad-option', "can't specify both --password-stdin and --password");
  if (!username) throw new TransportError('bad-option', 'must provide --username with --password-stdin');
  return passwordFromStdin.replace(/\r?\n/g, '');
}

async function complete(
  { username, ask }: LoginOptions,
  password: string | undefined,
  known: Credentials | undefined,
): Promise<Credentials> {
  const question = async (prompt: string, hidden: boolean) => {
    if (!ask)
      throw new TransportError(
        'bad-option',
        `getting username and password: cannot prompt for ${prompt.toLowerCase().replace(/[^a-z].*/, '')} without stdin`,
        {
          hint: 'give --username and --password-stdin',
        },
      );
    return ask(prompt, { hidden });
  };
  const asked =
    username || (await question(known?.username ? `Username (${known.username}): ` : 'Username: ', false));
  return {
    username: asked.trim() || (known?.username ?? ''),
    password: password || (await question('Password: ', true)),
  };
}

async function areValid(
  session: DockerSession,
  host: string,
  credentials: Credentials,
  context: LoginContext,
): Promise<boolean> {
  try {
    await checkCredentials(session, host, credentials, context);
    return true;
  } catch (error) {
    context.signal?.throwIfAborted();
    if (error instanceof TransportError) return false;
    throw error;
  }
}

async function verify(
  session: DockerSession,
  host: string,
  key: string,
  credentials: Credentials,
  context: LoginContext,
): Promise<void> {
  try {
    await checkCredentials(session, host, credentials, context);
  } catch (error) {
    if (!(error instanceof TransportError)) throw error;
    const message =
      error.code === 'unauthorized'
        ? `logging into ${JSON.stringify(key)}: invalid username/password`
        : `authenticating creds for ${JSON.stringify(key)}: ${error.message}`;
    throw new TransportError(error.code, message, {
      cause: error,
      facts: error.facts,
      ...(error.code === 'unauthorized' || error.hint === undefined ? {} : { hint: error.hint }),
    });
  }
}

/**
 * Asks the registry whether it takes these credentials.
 * @throws TransportError `unauthorized` where it does not
 */
export async function checkCredentials(
  session: DockerSession,
  host: string,
  credentials: Credentials,
  context: Pick<TransportContext, 'signal' | 'onWarning'>,
): Promise<void> {
  const client = await session.client({ domain: host, path: '' }, context);
  const response = await client.request({
    method: 'GET',
    target: '/v2/',
    scopes: [],
    credentials,
    ...(context.signal ? { signal: context.signal } : {}),
  });
  if (response.status !== 200)
    throw await registryError(response, 'unable to retrieve auth token: invalid username/password');
  await discardBody(response);
}

function warnAboutDockerConfig(context: LoginContext, auth: AuthOptions): void {
  const { path, docker } = primaryAuthFile(auth);
  if (!docker && path === `${auth.environment.HOME}/.docker/config.json`)
    context.onWarning?.(
      'saving credentials to ~/.docker/config.json, but not using Docker-compatible file format',
    );
}
