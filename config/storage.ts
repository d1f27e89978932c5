import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ifThere, isSystemError } from '../errors.ts';
import { ConfigError } from './error.ts';
import { configHomeOf, type HostEnvironment, homeOf, uidOf } from './host.ts';
import { makeDirectories } from './make-directories.ts';
import { parseToml } from './toml.ts';

/** What storage.conf, its drop-ins and the environment say about local storage; ready for openStore. */
export interface StorageConfig {
  readonly graphRoot: string;
  readonly runRoot: string;
  /** Undefined: found out by openStore. */
  readonly driver?: string;
  readonly driverPriority: readonly string[];
  /** `key=value`, with or without a driver's name before the key, in the original's order. */
  readonly driverOptions: readonly string[];
  readonly imageStore?: string;
  readonly transient: boolean;
  /** Layers of containers are mounted so that unmounting writes them to the disk. */
  readonly disableVolatile: boolean;
  /** This process is not root of the host: an ordinary user, or in a user namespace made for one. */
  readonly rootless: boolean;
  /** `storage.options.pull_options`. */
  readonly pullOptions: Readonly<Record<string, string>>;
  /** The files that were read, in order. */
  readonly files: readonly string[];
}

export interface StorageConfigOptions extends HostEnvironment {
  /** Prefix of /etc and /usr; for tests. */
  readonly systemRoot?: string;
  /** Default /tmp: where an ordinary user's run root goes when there is no XDG_RUNTIME_DIR. */
  readonly temporaryDirectory?: string;
}

/** `--root`, `--runroot`, `--storage-driver`, `--storage-opt`; undefined where not given. */
export interface StorageFlags {
  readonly root?: string;
  readonly runRoot?: string;
  readonly driver?: string;
  readonly options?: readonly string[];
}

type Table = { readonly [key: string]: unknown };

const ROOT_GRAPH = '/var/lib/containers/storage';
const ROOT_RUN = '/run/containers/storage';

/**
 * Reads storage.conf as containers-storage.conf(5): `CONTAINERS_STORAGE_CONF` alone, or the first of the user's,
 * /etc's and /usr/share's file with all `storage.conf.d` drop-ins over it; then STORAGE_DRIVER and STORAGE_OPTS.
 * @throws ConfigError `bad-config`, `unreadable`, `not-found`
 */
export async function readStorageConfig(options: StorageConfigOptions): Promise<StorageConfig> {
  const files = locate(options);
  let storage: Table = {};
  for (const { path, text } of files) storage = merge(storage, await parse(text, path));
  const { environment } = options;
  const table = tableOf(storage.options);
  const rootless = isRootless(options);
  const driver = environment.STORAGE_DRIVER || textOf(storage.driver);
  const imageStore = textOf(storage.imagestore) || undefined;
  const places = placesOf(storage, options, rootless && rootlessUid(options) !== 0);
  if (imageStore !== undefined && imageStore === places.graphRoot)
    throw new ConfigError(
      'bad-config',
      `imagestore ${imageStore} must either be not set or be different than graphroot`,
    );
  return {
    ...places,
    driver: driver === 'overlay2' ? 'overlay' : driver || undefined,
    driverPriority: listOf(storage.driver_priority),
    driverOptions: driverOptionsOf(table, environment.STORAGE_OPTS),
    imageStore,
    transient: storage.transient_store === true,
    disableVolatile: table['disable-volatile'] === true,
    rootless,
    pullOptions: Object.fromEntries(
      Object.entries(tableOf(table.pull_options)).map(([key, value]) => [key, String(value)]),
    ),
    files: files.map(({ path }) => path),
  };
}

/** Lays command line flags over the configuration as buildah does: a given driver drops the configured options. */
export function withStorageFlags(config: StorageConfig, flags: StorageFlags): StorageConfig {
  let { driver, driverOptions } = config;
  if (flags.driver !== undefined) {
    driver = flags.driver;
    driverOptions = [];
  }
  if (flags.options !== undefined && flags.options.length > 0) driverOptions = flags.options;
  return {
    ...config,
    driver,
    driverOptions,
    graphRoot: flags.root || config.graphRoot,
    runRoot: flags.runRoot || config.runRoot,
  };
}

/** True for an ordinary user, and inside a user namespace that was set up for one. */
export function isRootless(host: HostEnvironment): boolean {
  if (uidOf(host) !== 0) return true;
  return (host.environment._CONTAINERS_USERNS_CONFIGURED ?? '') !== '';
}

function rootlessUid(host: HostEnvironment): number {
  const text = host.environment._CONTAINERS_ROOTLESS_UID;
  return text ? Number.parseInt(text, 10) || 0 : uidOf(host);
}

function placesOf(
  storage: Table,
  options: StorageConfigOptions,
  perUser: boolean,
): { readonly graphRoot: string; readonly runRoot: string } {
  const expand = (path: unknown) => expandPath(textOf(path), options);
  const runRoot =
    expand(storage.runroot) || (perUser ? join(runtimeDirectory(options), 'containers') : ROOT_RUN);
  const graphRoot =
    expand(storage.graphroot) ||
    (perUser ? expand(storage.rootless_storage_path) || userGraphRoot(options) : ROOT_GRAPH);
  return { graphRoot, runRoot };
}

function userGraphRoot(options: HostEnvironment): string {
  const data = options.environment.XDG_DATA_HOME || join(homeOf(options), '.local/share');
  return join(data, 'containers/storage');
}

function runtimeDirectory(options: StorageConfigOptions): string {
  const given = options.environment.XDG_RUNTIME_DIR;
  if (given) return realPath(given);
  const uid = rootlessUid(options);
  const candidates = [`/run/user/${uid}`, join(options.temporaryDirectory ?? '/tmp', `storage-run-${uid}`)];
  for (const path of candidates) if (isOwn(path)) return path;
  throw new ConfigError(
    'bad-config',
    `path ${JSON.stringify(candidates[1])} exists and it is not writeable only by the current user`,
    {
      hint: 'set XDG_RUNTIME_DIR',
    },
  );
}

function isOwn(path: string): boolean {
  try {
    makeDirectories(path, 0o700);
    const status = statSync(path);
    return status.uid === process.geteuid?.() && (status.mode & 0o022) === 0;
  } catch (error) {
    if (isSystemError(error)) return false;
    throw error;
  }
}

function expandPath(path: string, options: HostEnvironment): string {
  if (path === '') return '';
  const { environment } = options;
  const expanded = path
    .replaceAll('$UID', String(rootlessUid(options)))
    .replace(/\$(?:\{(\w+)\}|(\w+))/g, (_, braced: string | undefined, bare: string | undefined) => {
      const name = braced ?? bare ?? '';
      return name === 'HOME' ? homeOf(options) : (environment[name] ?? '');
    });
  return realPath(expanded);
}

function realPath(path: string): string {
  return ifThere(() => realpathSync(path), 'ENOENT', 'ENOTDIR', 'EACCES') ?? join(path);
}

/** Keys of `storage.options` that count for every driver, in the original's order. */
const COMMON = ['size', 'mount_program', 'skip_mount_home', 'ignore_chown_errors', 'force_mask', 'mountopt'];
const OVERLAY = [
  'ignore_chown_errors',
  'mount_program',
  'mountopt',
  'size',
  'inodes',
  'skip_mount_home',
  'force_mask',
  'use_composefs',
  'sync',
];
const VFS = ['ignore_chown_errors', 'sync'];

function driverOptionsOf(table: Table, fromEnvironment: string | undefined): string[] {
  if (fromEnvironment !== undefined) return fromEnvironment === '' ? [] : fromEnvironment.split(',');
  const options = listOf(table.additionalimagestores).map((store) => `imagestore=${store}`);
  options.push(...listOf(table.additionallayerstores).map((store) => `additionallayerstore=${store}`));
  const add = (from: Table, keys: readonly string[], prefix: string) => {
    for (const key of keys) {
      const value = optionText(key, from[key]);
      if (value !== '') options.push(`${prefix}${key}=${value}`);
    }
  };
  add(table, COMMON, '');
  add(tableOf(table.overlay), OVERLAY, 'overlay.');
  add(tableOf(table.vfs), VFS, 'vfs.');
  return options;
}

/** A force_mask written as a number is a mode, whose decimal value TOML gives. */
function optionText(key: string, value: unknown): string {
  if (key === 'force_mask' && typeof value === 'number') return value === 0 ? '' : value.toString(8);
  return typeof value === 'string' || typeof value === 'boolean' || typeof value === 'number'
    ? String(value)
    : '';
}

interface LocatedFile {
  readonly path: string;
  readonly text: string;
}

function locate(options: StorageConfigOptions): LocatedFile[] {
  const { environment } = options;
  const given = environment.CONTAINERS_STORAGE_CONF;
  const found: LocatedFile[] = [];
  if (given) found.push({ path: given, text: mustRead(given) });
  else {
    const system = options.systemRoot ?? '';
    const directories = [
      join(configHomeOf(options), 'containers'),
      `${system}/etc/containers`,
      `${system}/usr/share/containers`,
    ];
    const main = directories
      .map((directory) => readFile(join(directory, 'storage.conf')))
      .find((file) => file);
    if (main) found.push(main);
    found.push(...dropIns(directories));
  }
  const override = environment.CONTAINERS_STORAGE_CONF_OVERRIDE;
  if (override) found.push({ path: override, text: mustRead(override) });
  return found;
}

/** Drop-ins of all directories in the order of their names; the same name in an earlier directory hides later ones. */
function dropIns(directories: readonly string[]): LocatedFile[] {
  const byName = new Map<string, string>();
  for (const directory of directories) {
    const folder = join(directory, 'storage.conf.d');
    for (const name of listConf(folder)) if (!byName.has(name)) byName.set(name, join(folder, name));
  }
  return [...byName.keys()]
    .sort()
    .map((name) => readFile(byName.get(name)!))
    .filter((file) => file !== undefined);
}

function listConf(directory: string): string[] {
  const names = ifThere(() => readdirSync(directory), 'ENOENT', 'ENOTDIR', 'EACCES') ?? [];
  return names.filter((name) => name.endsWith('.conf'));
}

function readFile(path: string): LocatedFile | undefined {
  try {
    return ifThere(() => ({ path, text: readFileSync(path, 'utf8') }), 'ENOENT', 'ENOTDIR');
  } catch (cause) {
    throw new ConfigError('unreadable', `reading ${path}: ${(cause as Error).message}`, {
      cause,
      facts: { path },
    });
  }
}

function mustRead(path: string): string {
  const file = readFile(path);
  if (file) return file.text;
  throw new ConfigError('not-found', `open ${path}: no such file or directory`, {
    facts: { path },
    hint: 'CONTAINERS_STORAGE_CONF names a file that is not there',
  });
}

async function parse(text: string, path: string): Promise<Table> {
  try {
    return tableOf((await parseToml(text)).storage);
  } catch (cause) {
    const why = (cause as Error).message.split('\n')[0];
    throw new ConfigError('bad-config', `parsing ${path}: ${why}`, { cause, facts: { path } });
  }
}

function merge(base: Table, over: Table): Table {
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const isTable = typeof value === 'object' && value !== null && !Array.isArray(value);
    merged[key] = isTable ? merge(tableOf(base[key]), value as Table) : value;
  }
  return merged;
}

function tableOf(value: unknown): Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Table) : {};
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function listOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}
