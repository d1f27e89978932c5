import { existsSync } from 'node:fs';
import { byteSize } from '../image/byte-size.ts';
import { type ConfigFile, type ConfigSearch, findConfigFiles } from './config-files.ts';
import { CONTAINERS_DEFAULTS, type ContainersConfig } from './containers-defaults.ts';
import { ConfigError } from './error.ts';
import { uidOf } from './host.ts';
import { parseToml, type TomlFailure, type TomlTable } from './toml.ts';

export type { ContainersConfig } from './containers-defaults.ts';

export interface ContainersConfigOptions extends Omit<ConfigSearch, 'variable'> {
  /** Told of keys that nothing knows. */
  readonly onUnknownKey?: (key: string, path: string) => void;
}

export type LoadedContainersConfig = ContainersConfig & {
  /** The files that were read, in order. */
  readonly files: readonly string[];
};

type Value = string | number | boolean | readonly string[] | Readonly<Record<string, unknown>>;
type Table = Record<string, Value>;

/**
 * Reads containers.conf as containers.conf(5) of containers-common 0.68: see {@link findConfigFiles} for the files and
 * the variables `CONTAINERS_CONF` and `CONTAINERS_CONF_OVERRIDE`. A list replaces the one before it, or is added to it
 * with `{append=true}` as one of its items.
 * @throws ConfigError `bad-config` for TOML errors, wrong types and values that no key takes
 */
export async function readContainersConfig(
  options: ContainersConfigOptions,
): Promise<LoadedContainersConfig> {
  const files = findConfigFiles('containers.conf', { ...options, variable: 'CONTAINERS_CONF' });
  const merged = structuredClone(CONTAINERS_DEFAULTS) as unknown as Record<string, Table>;
  for (const file of files) await apply(merged, file, options);
  const config = merged as unknown as ContainersConfig;
  check(config, files.at(-1)?.path ?? 'containers.conf');
  return {
    ...config,
    containers: {
      ...config.containers,
      default_capabilities: prefixed(config.containers.default_capabilities),
    },
    engine: { ...config.engine, cgroup_manager: config.engine.cgroup_manager || cgroupManager(options) },
    files: files.map((file) => file.path),
  };
}

/** systemd manages cgroups where it is the first process; an ordinary user then needs it too. */
function cgroupManager(options: ContainersConfigOptions): string {
  return existsSync(`${options.systemRoot ?? ''}/run/systemd/system`) && uidOf(options) >= 0
    ? 'systemd'
    : 'cgroupfs';
}

async function apply(
  merged: Record<string, Table>,
  file: ConfigFile,
  options: ContainersConfigOptions,
): Promise<void> {
  const tables = await parse(file);
  for (const [section, table] of Object.entries(tables)) {
    const target = merged[section];
    if (target === undefined || !isTable(table)) {
      options.onUnknownKey?.(section, file.path);
      continue;
    }
    for (const [key, value] of Object.entries(table)) {
      if (key === 'compression_level' && typeof value === 'number') target[key] = value;
      else if (!(key in target)) options.onUnknownKey?.(`${section}.${key}`, file.path);
      else target[key] = convert(value, target[key] as Value, `${section}.${key}`, file.path);
    }
  }
}

async function parse({ path, text }: ConfigFile): Promise<TomlTable> {
  try {
    return await parseToml(text);
  } catch (cause) {
    const { line, message } = cause as TomlFailure;
    const reason = message.split('\n')[0] ?? '';
    throw new ConfigError('bad-config', `${path}:${line}: ${reason}`, { cause, facts: { path } });
  }
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A value in the type of the one it replaces. */
function convert(value: unknown, old: Value, key: string, path: string): Value {
  if (Array.isArray(old)) return list(value, old, key, path);
  if (isTable(old)) {
    if (!isTable(value)) throw wrongType(key, path, 'a table');
    return { ...old, ...value };
  }
  if (typeof value === typeof old) return value as Value;
  if (typeof old === 'number' && typeof value === 'bigint') return Number(value);
  throw wrongType(key, path, `a ${typeof old}`);
}

function list(value: unknown, old: readonly string[], key: string, path: string): readonly string[] {
  if (!Array.isArray(value)) throw wrongType(key, path, 'a list of strings');
  let append = false;
  const items: string[] = [];
  for (const item of value as unknown[]) {
    if (typeof item === 'string') items.push(item);
    else if (isTable(item) && Object.keys(item).join() === 'append' && typeof item.append === 'boolean')
      append = item.append;
    else throw wrongType(key, path, 'a list of strings, with {append=true} at most');
  }
  return append ? [...old, ...items] : items;
}

function wrongType(key: string, path: string, wanted: string): ConfigError {
  return new ConfigError('bad-config', `${path}: ${key} must be ${wanted}`, { facts: { path } });
}

function prefixed(names: readonly string[]): string[] {
  return names.map((name) => (name.startsWith('CAP_') ? name : `CAP_${name}`));
}

const CHOICES: readonly (readonly [keyof ContainersConfig['containers'], (value: string) => boolean])[] = [
  ['cgroups', (value) => /^(enabled|disabled|no-conmon|split|)$/.test(value)],
  ['umask', (value) => /^[0-7]{1,4}$/.test(value)],
  ['shm_size', (value) => byteSize(value) !== undefined],
];

function check(config: ContainersConfig, path: string): void {
  for (const [key, isPossible] of CHOICES) {
    const value = String(config.containers[key]);
    if (!isPossible(value))
      throw new ConfigError('bad-config', `${path}: containers.${key} has no such value: "${value}"`, {
        facts: { path },
      });
  }
  for (const limit of config.containers.default_ulimits) {
    if (!/^[a-z]+=-?[0-9]+(:-?[0-9]+)?$/i.test(limit))
      throw new ConfigError(
        'bad-config',
        `${path}: containers.default_ulimits: "${limit}" is not name=soft:hard`,
        {
          facts: { path },
        },
      );
  }
  if (
    !['missing', 'always', 'never', 'newer', 'ifmissing', 'ifnewer'].includes(
      config.engine.pull_policy.toLowerCase(),
    )
  )
    throw new ConfigError('bad-config', `${path}: unsupported pull policy "${config.engine.pull_policy}"`, {
      facts: { path },
    });
}
