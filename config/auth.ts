import {
  type AuthFile,
  type AuthFileOptions,
  type AuthFilePath,
  authFilePaths,
  decodeEntry,
  encodeEntry,
  primaryAuthFile,
  readAuthFile,
  writeAuthFile,
} from './auth-file.ts';
import {
  type Credentials,
  type HelperOptions,
  helperErase,
  helperGet,
  helperList,
  helperStore,
} from './credential-helper.ts';
import { ConfigError } from './error.ts';
import { AUTH_FILE_HELPER } from './registries.ts';

export interface AuthOptions extends AuthFileOptions, HelperOptions {
  /** `credential-helpers` of registries.conf; default: the auth files alone. */
  readonly helpers?: readonly string[];
}

/** Keys under which Docker has kept its own registry. */
const DOCKER_KEY = 'https://index.docker.io/v1/';

/**
 * The credentials for a host, namespace or repository: helpers and auth files in their order, in a file the longest
 * prefix that matches (containers-auth.json(5)). Undefined where nobody knows any.
 * @throws ConfigError `bad-config`, `unreadable`, `credential-helper`
 */
export async function findCredentials(key: string, options: AuthOptions): Promise<Credentials | undefined> {
  checkKey(key);
  const host = key.split('/')[0] as string;
  for (const helper of options.helpers ?? [AUTH_FILE_HELPER]) {
    const found =
      helper === AUTH_FILE_HELPER
        ? await findInFiles(key, host, options)
        : await helperGet(helper, host, options);
    if (found) return found;
  }
  return undefined;
}

async function findInFiles(
  key: string,
  host: string,
  options: AuthOptions,
): Promise<Credentials | undefined> {
  for (const path of authFilePaths(options)) {
    const file = readAuthFile(path);
    const found = file && (await findInFile(key, host, path, file, options));
    if (found) return found;
  }
  return undefined;
}

async function findInFile(
  key: string,
  host: string,
  { legacy }: AuthFilePath,
  file: AuthFile,
  options: AuthOptions,
): Promise<Credentials | undefined> {
  const helper = file.credHelpers[host];
  if (helper !== undefined) return helperGet(helper, host, options);
  const match = matchEntry(file, key, host, legacy ?? false);
  if (match === undefined) return undefined;
  const credentials = decodeEntry(file.auths[match] ?? {});
  // Docker leaves an empty entry for what its credential store holds.
  if (credentials === undefined && file.credsStore) return helperGet(file.credsStore, match, options);
  return credentials;
}

function matchEntry(file: AuthFile, key: string, host: string, legacy: boolean): string | undefined {
  const exact = (legacy ? [host] : prefixes(key)).find((candidate) => Object.hasOwn(file.auths, candidate));
  if (exact !== undefined) return exact;
  const wanted = normalizeHost(host);
  return Object.keys(file.auths).find((entry) => normalizeKey(entry, legacy) === wanted);
}

/** `a/b/c`, `a/b`, `a`. */
function prefixes(key: string): string[] {
  const parts = key.split('/');
  return parts.map((_, index) => parts.slice(0, parts.length - index).join('/'));
}

function normalizeKey(key: string, legacy: boolean): string {
  const stripped = key.replace(/^http:\/\//, '').replace(/^https:\/\//, '');
  const host = legacy || stripped !== key ? (stripped.split('/')[0] as string) : stripped;
  return normalizeHost(host);
}

function normalizeHost(host: string): string {
  return host === 'registry-1.docker.io' || host === 'docker.io' ? 'index.docker.io' : host;
}

/**
 * Keeps credentials in the first place that takes them.
 * @returns what was written, for people
 * @throws ConfigError
 */
export async function storeCredentials(
  key: string,
  credentials: Credentials,
  options: AuthOptions,
): Promise<string> {
  const target = editTarget(key, options);
  for (const helper of target.helpers) {
    if (helper !== AUTH_FILE_HELPER) {
      refuseNamespace(target, helper);
      await helperStore(helper, target.key, credentials, options);
      return `credential helper: ${helper}`;
    }
    const file = readAuthFile(target.path);
    const inner = file?.credHelpers[target.key];
    if (inner !== undefined) {
      refuseNamespace(target, inner);
      await helperStore(inner, target.key, credentials, options);
      return `credential helper: ${inner}`;
    }
    const auths = { ...file?.auths, [target.key]: encodeEntry(credentials) };
    await writeAuthFile(target.path.path, file?.raw ?? {}, auths, file?.credHelpers ?? {});
    return target.path.path;
  }
  throw new ConfigError('bad-config', 'no credential helper is configured to store credentials');
}

/**
 * Removes credentials from the helpers and the auth file that would be written.
 * @throws ConfigError `not-logged-in` where there were none
 */
export async function removeCredentials(key: string, options: AuthOptions): Promise<void> {
  const target = editTarget(key, options);
  let removed = false;
  for (const helper of target.helpers) {
    if (helper !== AUTH_FILE_HELPER) {
      if (!target.namespaced) removed = (await helperErase(helper, target.key, options)) || removed;
      continue;
    }
    const file = readAuthFile(target.path);
    if (!file) continue;
    const inner = file.credHelpers[target.key];
    if (inner !== undefined && !target.namespaced)
      removed = (await helperErase(inner, target.key, options)) || removed;
    if (Object.hasOwn(file.auths, target.key)) {
      const { [target.key]: _dropped, ...auths } = file.auths;
      await writeAuthFile(target.path.path, file.raw, auths, file.credHelpers);
      removed = true;
    }
  }
  if (!removed) throw new ConfigError('not-logged-in', 'not logged in');
}

/** Empties the auth file and the helpers. @throws ConfigError */
export async function removeAllCredentials(options: AuthOptions): Promise<void> {
  const path = primaryAuthFile(options);
  for (const helper of editHelpers(options)) {
    if (helper !== AUTH_FILE_HELPER) {
      for (const server of await helperList(helper, options)) await helperErase(helper, server, options);
      continue;
    }
    const file = readAuthFile(path);
    for (const [server, inner] of Object.entries(file?.credHelpers ?? {}))
      await helperErase(inner, server, options);
    await writeAuthFile(path.path, file?.raw ?? {}, {}, {});
  }
}

interface EditTarget {
  readonly key: string;
  readonly namespaced: boolean;
  readonly helpers: readonly string[];
  readonly path: AuthFilePath;
}

function editTarget(key: string, options: AuthOptions): EditTarget {
  const namespaced = checkKey(key);
  const path = primaryAuthFile(options);
  if (path.docker && namespaced)
    throw new ConfigError(
      'bad-config',
      `Credentials cannot be recorded in Docker-compatible format with namespaced key ${JSON.stringify(key)}`,
    );
  return {
    key: path.docker && key === 'docker.io' ? DOCKER_KEY : key,
    namespaced,
    helpers: editHelpers(options),
    path,
  };
}

/** Docker does not know the helpers of registries.conf. */
function editHelpers(options: AuthOptions): readonly string[] {
  return primaryAuthFile(options).docker ? [AUTH_FILE_HELPER] : (options.helpers ?? [AUTH_FILE_HELPER]);
}

function refuseNamespace({ namespaced }: EditTarget, helper: string): void {
  if (namespaced)
    throw new ConfigError('bad-config', `namespaced key is not supported for credential helper ${helper}`);
}

/** True for a key with a path behind its host. @throws ConfigError `bad-config` */
function checkKey(key: string): boolean {
  const bad = (why: string) => new ConfigError('bad-config', `key ${key} contains ${why}`);
  if (/^https?:\/\//.test(key)) throw bad('http[s]:// prefix');
  if (key.includes('@')) throw bad("a '@' character");
  const slash = key.indexOf('/');
  if (slash >= 0 && key.slice(slash + 1).includes(':')) throw bad("a ':' character after host[:port]");
  return slash >= 0;
}
