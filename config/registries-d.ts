import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ifThere, isSystemError } from '../errors.ts';
import { ConfigError } from './error.ts';

/** Where signatures of images in registries are kept, by namespace: containers-registries.d(5). */
export interface SignatureStorage {
  readonly defaultDocker?: SignatureNamespace;
  /** Keys are scopes as policy.json spells them: `docker.io/library/busybox`, `example.com:5000`, `*.example.com`. */
  readonly docker: ReadonlyMap<string, SignatureNamespace>;
}

export interface SignatureNamespace {
  /** URL for reading, and for writing where {@link lookasideStaging} is absent. */
  readonly lookaside?: string;
  /** URL for writing only. */
  readonly lookasideStaging?: string;
  /** Whether `sha256-<digest>.sig` attachments are read and written. */
  readonly useSigstoreAttachments?: boolean;
  /** The file that says so. */
  readonly path: string;
}

/** The scopes of a reference, as transport's ImageReference carries them. */
export interface PolicyScopes {
  readonly policyIdentity: string;
  readonly policyNamespaces: readonly string[];
}

export interface RegistriesDOptions {
  /** An explicit directory (`--registries.d`); absent: the default places. */
  readonly directory?: string;
  /** Home directory for `~/.config/containers/registries.d`; absent: only the system's directory. */
  readonly home?: string;
  /** Default `/etc/containers/registries.d`. */
  readonly systemDirectory?: string;
  readonly signal?: AbortSignal;
}

/**
 * Reads every `*.yaml` of registries.d. A missing directory is an empty configuration.
 * @throws ConfigError `bad-config` for bad YAML or a namespace that two files define, `unreadable`
 */
export async function readSignatureStorage(options: RegistriesDOptions): Promise<SignatureStorage> {
  const directory = await registriesDirectory(options);
  const docker = new Map<string, SignatureNamespace>();
  let defaultDocker: SignatureNamespace | undefined;
  for (const name of listYaml(directory)) {
    const path = join(directory, name);
    options.signal?.throwIfAborted();
    const text = readOne(path);
    if (text === undefined) continue;
    const file = await parseFile(text, path);
    if (file.defaultDocker) {
      if (defaultDocker) throw definedTwice('"default-docker"', defaultDocker.path, path);
      defaultDocker = file.defaultDocker;
    }
    for (const [scope, namespace] of file.docker) {
      const earlier = docker.get(scope);
      if (earlier) throw definedTwice(`"docker" namespace ${JSON.stringify(scope)}`, earlier.path, path);
      docker.set(scope, namespace);
    }
  }
  return { ...(defaultDocker && { defaultDocker }), docker };
}

/** The registries.d that applies: the explicit one, the user's when it exists, the system's. */
export async function registriesDirectory(options: RegistriesDOptions): Promise<string> {
  if (options.directory) return options.directory;
  const system = options.systemDirectory ?? '/etc/containers/registries.d';
  if (!options.home) return system;
  const own = join(options.home, '.config/containers/registries.d');
  try {
    return ifThere(() => readdirSync(own), 'ENOENT') ? own : system;
  } catch (error) {
    throw unreadable(own, error);
  }
}

/**
 * The lookaside URL configured for an image, without the repository path; undefined where nothing is configured, so
 * that the caller uses {@link defaultLookaside}. The most specific namespace that sets the key wins, then
 * `default-docker`.
 */
export function lookasideFor(
  storage: SignatureStorage,
  scopes: PolicyScopes,
  access: 'read' | 'write',
): string | undefined {
  for (const namespace of matching(storage, scopes)) {
    const url =
      access === 'write' ? (namespace.lookasideStaging ?? namespace.lookaside) : namespace.lookaside;
    if (url) return url;
  }
  return undefined;
}

/** Whether sigstore attachments are read and written for an image. Default false. */
export function usesSigstoreAttachments(storage: SignatureStorage, scopes: PolicyScopes): boolean {
  for (const namespace of matching(storage, scopes))
    if (namespace.useSigstoreAttachments !== undefined) return namespace.useSigstoreAttachments;
  return false;
}

/** The built-in place of signatures where registries.d names none. */
export function defaultLookaside(options: { readonly root: boolean; readonly home: string }): string {
  return options.root
    ? 'file:///var/lib/containers/sigstore'
    : `file://${options.home}/.local/share/containers/sigstore`;
}

function* matching(storage: SignatureStorage, scopes: PolicyScopes): Generator<SignatureNamespace> {
  for (const scope of [scopes.policyIdentity, ...scopes.policyNamespaces]) {
    const namespace = storage.docker.get(scope);
    if (namespace) yield namespace;
  }
  if (storage.defaultDocker) yield storage.defaultDocker;
}

function listYaml(directory: string): string[] {
  try {
    const names = ifThere(() => readdirSync(directory), 'ENOENT') ?? [];
    return names.filter((name) => name.endsWith('.yaml')).sort();
  } catch (error) {
    throw unreadable(directory, error);
  }
}

/** Undefined for a file that went away between listing and reading. */
function readOne(path: string): string | undefined {
  try {
    return ifThere(() => readFileSync(path, 'utf8'), 'ENOENT');
  } catch (error) {
    if (isSystemError(error)) throw unreadable(path, error);
    throw error;
  }
}

/** One file's content. Unknown keys pass, as containers/image lets them. */
async function parseFile(text: string, path: string): Promise<SignatureStorage> {
  const { parse } = await import('yaml');
  let value: unknown;
  try {
    value = parse(text, { uniqueKeys: true });
  } catch (cause) {
    throw new ConfigError('bad-config', `parsing ${path}: ${firstLine(cause)}`, { cause, facts: { path } });
  }
  if (value === null || value === undefined) return { docker: new Map() };
  const root = mapping(value, path, 'the file');
  const docker = new Map<string, SignatureNamespace>();
  if (root.docker !== undefined && root.docker !== null) {
    for (const [scope, entry] of Object.entries(mapping(root.docker, path, 'docker')))
      docker.set(scope, parseNamespace(entry, path, `docker.${scope}`));
  }
  const fallback = root['default-docker'];
  return fallback === undefined || fallback === null
    ? { docker }
    : { docker, defaultDocker: parseNamespace(fallback, path, 'default-docker') };
}

function parseNamespace(value: unknown, path: string, where: string): SignatureNamespace {
  const map = value === null ? {} : mapping(value, path, where);
  // `sigstore` and `sigstore-staging` are the old names of the same keys.
  const lookaside = text(map, 'lookaside', path) || text(map, 'sigstore', path);
  const staging = text(map, 'lookaside-staging', path) || text(map, 'sigstore-staging', path);
  const attachments = map['use-sigstore-attachments'] ?? undefined;
  if (attachments !== undefined && typeof attachments !== 'boolean')
    throw new ConfigError(
      'bad-config',
      `parsing ${path}: ${where}: use-sigstore-attachments is not a boolean`,
      {
        facts: { path },
      },
    );
  return {
    path,
    ...(lookaside && { lookaside }),
    ...(staging && { lookasideStaging: staging }),
    ...(attachments !== undefined && { useSigstoreAttachments: attachments }),
  };
}

function mapping(value: unknown, path: string, where: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new ConfigError('bad-config', `parsing ${path}: ${where} is not a mapping`, { facts: { path } });
  return value as Record<string, unknown>;
}

function text(map: Record<string, unknown>, key: string, path: string): string | undefined {
  const value = map[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string')
    throw new ConfigError('bad-config', `parsing ${path}: ${key} is not a string`, { facts: { path } });
  return value;
}

function firstLine(error: unknown): string {
  return error instanceof Error ? (error.message.split('\n')[0] as string) : String(error);
}

function definedTwice(what: string, first: string, second: string): ConfigError {
  return new ConfigError(
    'bad-config',
    `Error parsing signature storage configuration: ${what} defined both in "${first}" and "${second}"`,
    { facts: { path: second } },
  );
}

function unreadable(path: string, cause: unknown): ConfigError {
  return new ConfigError('unreadable', `reading ${path}: ${firstLine(cause)}`, { cause, facts: { path } });
}
