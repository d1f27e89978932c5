import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ifThere, isSystemError } from '../errors.ts';
import { ConfigError } from './error.ts';
import { type HostEnvironment, homeOf } from './host.ts';
import { parseRegistriesFile } from './registries-file.ts';
import type { RegistriesConfig, RegistriesFile, RegistryRule } from './registries-types.ts';

export interface RegistriesOptions extends HostEnvironment {
  /**
   * An explicit registries.conf, which must exist. Absent: `$CONTAINERS_REGISTRIES_CONF` (or `$REGISTRIES_CONFIG_PATH`),
   * `~/.config/containers/registries.conf`, `/etc/containers/registries.conf`, the first that is there.
   */
  readonly file?: string;
  /** Drop-ins; absent: `/etc/containers/registries.conf.d` and the user's, which comes last. */
  readonly dropInDirectory?: string;
}

export const AUTH_FILE_HELPER = 'containers-auth.json';

/**
 * Reads registries.conf and its drop-ins (`*.conf` in order of their names, later ones win by prefix).
 * @throws ConfigError `bad-config`, `unreadable`, `not-found` for an explicit file that is not there
 */
export async function readRegistries(options: RegistriesOptions): Promise<RegistriesConfig> {
  const { path, explicit, dropIns } = locate(options);
  const files: { readonly path: string; readonly file: RegistriesFile }[] = [];
  const text = readText(path);
  if (text !== undefined) files.push({ path, file: await parseRegistriesFile(text, path) });
  else if (explicit)
    throw new ConfigError(
      'not-found',
      `loading registries configuration ${JSON.stringify(path)}: open ${path}: no such file or directory`,
      { facts: { path } },
    );
  for (const directory of dropIns)
    for (const name of listConf(directory)) {
      const dropIn = join(directory, name);
      const content = readText(dropIn);
      if (content !== undefined)
        files.push({ path: dropIn, file: await parseRegistriesFile(content, dropIn, { dropIn: true }) });
    }
  return merge(files, [path, ...dropIns]);
}

function locate(options: RegistriesOptions): {
  readonly path: string;
  readonly explicit: boolean;
  readonly dropIns: readonly string[];
} {
  const own = join(homeOf(options), '.config/containers');
  const system = '/etc/containers/registries.conf.d';
  const given =
    options.file ||
    options.environment.CONTAINERS_REGISTRIES_CONF ||
    options.environment.REGISTRIES_CONFIG_PATH;
  const both = options.dropInDirectory ? [options.dropInDirectory] : [system, join(own, 'registries.conf.d')];
  if (given) return { path: given, explicit: true, dropIns: both };
  const user = join(own, 'registries.conf');
  if (!exists(user)) return { path: '/etc/containers/registries.conf', explicit: false, dropIns: both };
  const dropIns = options.dropInDirectory ? both : [join(own, 'registries.conf.d')];
  return { path: user, explicit: false, dropIns };
}

function merge(
  files: readonly { readonly path: string; readonly file: RegistriesFile }[],
  sources: readonly string[],
): RegistriesConfig {
  const rules = new Map<string, RegistryRule>();
  const aliases = new Map<string, { readonly value: string; readonly path: string }>();
  let merged: Omit<RegistriesConfig, 'rules' | 'aliases'> = {
    searchRegistries: [],
    ...(files[0] && files[0].path === sources[0] ? { searchOrigin: files[0].path } : {}),
    shortNameMode: 'permissive',
    credentialHelpers: [AUTH_FILE_HELPER],
    sources,
  };
  for (const { path, file } of files) {
    for (const rule of file.rules) rules.set(rule.prefix, rule);
    for (const [name, alias] of file.aliases)
      if (alias.value === '') aliases.delete(name);
      else aliases.set(name, alias);
    merged = {
      ...merged,
      ...(file.searchRegistries ? { searchRegistries: file.searchRegistries, searchOrigin: path } : {}),
      ...(file.shortNameMode ? { shortNameMode: file.shortNameMode } : {}),
      ...(file.credentialHelpers?.length ? { credentialHelpers: file.credentialHelpers } : {}),
    };
  }
  return { ...merged, rules: [...rules.values()], aliases };
}

function listConf(directory: string): string[] {
  try {
    const names = ifThere(() => readdirSync(directory), 'ENOENT', 'ENOTDIR') ?? [];
    return names.filter((name) => name.endsWith('.conf')).sort();
  } catch (error) {
    throw unreadable(directory, error);
  }
}

function readText(path: string): string | undefined {
  try {
    return ifThere(() => readFileSync(path, 'utf8'), 'ENOENT');
  } catch (error) {
    throw unreadable(path, error);
  }
}

function exists(path: string): boolean {
  try {
    statSync(path);
    return true;
  } catch (error) {
    if (isSystemError(error)) return false;
    throw error;
  }
}

function unreadable(path: string, cause: unknown): unknown {
  if (!isSystemError(cause)) return cause;
  return new ConfigError(
    'unreadable',
    `loading registries configuration ${JSON.stringify(path)}: ${cause.message}`,
    {
      cause,
      facts: { path },
    },
  );
}
