import { readFileSync, statSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isSystemError } from '../errors.ts';
import { ImageError } from '../image/error.ts';
import { isJsonObject, type JsonObject, parseJsonObject } from '../image/json.ts';
import type { Credentials } from './credential-helper.ts';
import { ConfigError } from './error.ts';
import { configHomeOf, type HostEnvironment, homeOf, uidOf } from './host.ts';
import { makeDirectories } from './make-directories.ts';

/** Which file holds credentials; none set: the default places. */
export interface AuthFileOptions extends HostEnvironment {
  /** `--authfile`. */
  readonly authFile?: string;
  /** `--compat-auth-file`: a Docker config.json, written as Docker does. */
  readonly dockerConfigFile?: string;
}

export interface AuthFilePath {
  readonly path: string;
  /** `.dockercfg`: hosts at the top level. */
  readonly legacy?: boolean;
  /** Named by the user, so that no other place is looked at. */
  readonly explicit?: boolean;
  /** Docker's own format is kept when writing. */
  readonly docker?: boolean;
}

/** An auth.json, config.json or .dockercfg; unknown keys are kept. */
export interface AuthFile {
  readonly auths: Readonly<Record<string, AuthEntry>>;
  readonly credHelpers: Readonly<Record<string, string>>;
  readonly credsStore?: string;
  readonly raw: JsonObject;
}

export interface AuthEntry {
  /** Base64 of `user:password`. */
  readonly auth?: string;
  readonly identitytoken?: string;
}

/** The file that is written, and that is read first: containers-auth.json(5). @throws ConfigError `bad-config` */
export function primaryAuthFile(options: AuthFileOptions): AuthFilePath {
  const { environment, authFile, dockerConfigFile } = options;
  if (authFile && dockerConfigFile)
    throw new ConfigError(
      'bad-config',
      'options for paths to the credential file and to the Docker-compatible credential file can not be set simultaneously',
    );
  if (authFile) return { path: authFile, explicit: true };
  if (dockerConfigFile) return { path: dockerConfigFile, explicit: true, docker: true };
  if (environment.REGISTRY_AUTH_FILE) return { path: environment.REGISTRY_AUTH_FILE, explicit: true };
  if (environment.DOCKER_CONFIG)
    return { path: join(environment.DOCKER_CONFIG, 'config.json'), explicit: true, docker: true };
  if (process.platform !== 'linux') return { path: join(homeOf(options), '.config/containers/auth.json') };
  const runtime = environment.XDG_RUNTIME_DIR || `/run/containers/${uidOf(options)}`;
  return { path: join(runtime, environment.XDG_RUNTIME_DIR ? 'containers/auth.json' : 'auth.json') };
}

/** All files to look at, in order. */
export function authFilePaths(options: AuthFileOptions): AuthFilePath[] {
  const primary = primaryAuthFile(options);
  if (primary.explicit) return [primary];
  return [
    primary,
    { path: join(configHomeOf(options), 'containers/auth.json') },
    { path: join(homeOf(options), '.docker/config.json') },
    { path: join(homeOf(options), '.dockercfg'), legacy: true },
  ];
}

/**
 * For commands that only read: an auth file that the user named has to be there.
 * @throws ConfigError `not-found`
 */
export async function requireAuthFile(options: AuthFileOptions): Promise<void> {
  const { path, explicit } = primaryAuthFile(options);
  // DOCKER_CONFIG names a directory that need not hold a config.json.
  const named = options.authFile || options.dockerConfigFile || options.environment.REGISTRY_AUTH_FILE;
  if (!explicit || !named) return;
  try {
    statSync(path);
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    throw new ConfigError(
      'not-found',
      `credential file is not accessible: stat ${path}: ${cause.code === 'ENOENT' ? 'no such file or directory' : cause.message}`,
      { cause, facts: { path } },
    );
  }
}

/** What was read, by path: every repository asks anew, and another program may renew credentials meanwhile. */
const known = new Map<string, { readonly version: string; readonly file: AuthFile }>();

/** Undefined for a file that is not there. @throws ConfigError `bad-config`, `unreadable` */
export function readAuthFile(place: AuthFilePath): AuthFile | undefined {
  const { path } = place;
  let version: string;
  let text: string;
  try {
    const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (!stats) return undefined;
    version = [place.legacy, stats.dev, stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join(' ');
    const earlier = known.get(path);
    if (earlier?.version === version) return earlier.file;
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    if (isSystemError(cause, 'ENOENT', 'ENOTDIR')) return undefined;
    if (!isSystemError(cause)) throw cause;
    throw new ConfigError('unreadable', `reading credential file ${path}: ${cause.message}`, {
      cause,
      facts: { path },
    });
  }
  const file = parseAuthFile(text, place);
  known.set(path, { version, file });
  return file;
}

function parseAuthFile(text: string, { path, legacy }: AuthFilePath): AuthFile {
  try {
    const raw = parseJsonObject(text, { what: 'credential file' });
    const auths = legacy ? raw : isJsonObject(raw.auths) ? raw.auths : {};
    const helpers = !legacy && isJsonObject(raw.credHelpers) ? raw.credHelpers : {};
    return {
      raw,
      auths: Object.fromEntries(Object.entries(auths).map(([key, value]) => [key, entryOf(value)])),
      credHelpers: Object.fromEntries(
        Object.entries(helpers).flatMap(([key, value]) => (typeof value === 'string' ? [[key, value]] : [])),
      ),
      ...(typeof raw.credsStore === 'string' && raw.credsStore !== '' ? { credsStore: raw.credsStore } : {}),
    };
  } catch (cause) {
    if (!(cause instanceof ImageError)) throw cause;
    throw new ConfigError('bad-config', `reading JSON file ${JSON.stringify(path)}: ${cause.message}`, {
      cause,
      facts: { path },
    });
  }
}

function entryOf(value: unknown): AuthEntry {
  if (!isJsonObject(value)) return {};
  return {
    ...(typeof value.auth === 'string' ? { auth: value.auth } : {}),
    ...(typeof value.identitytoken === 'string' ? { identitytoken: value.identitytoken } : {}),
  };
}

/** The credentials of an entry; undefined for the empty ones that Docker writes beside a credential store. */
export function decodeEntry({ auth, identitytoken }: AuthEntry): Credentials | undefined {
  const text = Buffer.from(auth ?? '', 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 0)
    return identitytoken ? { username: '', password: '', identityToken: identitytoken } : undefined;
  return {
    username: text.slice(0, colon),
    password: text.slice(colon + 1).replace(/^\0+|\0+$/g, ''),
    ...(identitytoken ? { identityToken: identitytoken } : {}),
  };
}

export function encodeEntry({ username, password }: Credentials): AuthEntry {
  return { auth: Buffer.from(`${username}:${password}`).toString('base64') };
}

/** Replaces `auths` and `credHelpers` of the file, atomically and with mode 0600; everything else in it stays. */
export async function writeAuthFile(
  path: string,
  raw: JsonObject,
  auths: Readonly<Record<string, AuthEntry>>,
  credHelpers: Readonly<Record<string, string>>,
): Promise<void> {
  makeDirectories(dirname(path), 0o700);
  const document = {
    ...raw,
    auths: sorted(auths),
    ...(Object.keys(credHelpers).length || raw.credHelpers ? { credHelpers: sorted(credHelpers) } : {}),
  };
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await using file = await open(temporary, 'w', 0o600);
    await file.writeFile(JSON.stringify(document, null, '\t'));
    await file.sync();
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await rename(temporary, path);
  known.delete(path);
}

/** As Go writes maps, so that equal credentials are equal files. */
function sorted<T>(map: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1)));
}
