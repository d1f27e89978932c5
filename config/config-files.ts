import { readdirSync, readFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { ifThere } from '../errors.ts';
import { ConfigError } from './error.ts';
import { configHomeOf, type HostEnvironment, uidOf } from './host.ts';

export interface ConfigFile {
  readonly path: string;
  readonly text: string;
}

export interface ConfigSearch extends HostEnvironment {
  /** Variable that names the only file to read; with `_OVERRIDE` behind it, one that is read last. */
  readonly variable: string;
  /** Files of the `.modules` directories, or absolute paths, read before the override. */
  readonly modules?: readonly string[];
  /** Prefix of /etc and /usr; for tests. */
  readonly systemRoot?: string;
}

/**
 * The files of one configuration in the order they apply, as containers-libs 1.44's configfile package: the variable's
 * file alone, or the first of the user's, /etc's and /usr/share's main file and all drop-ins by name (of two with
 * one name the user's before /etc's before /usr/share's); then modules, then the override variable's file.
 * @param name `containers.conf`
 * @throws ConfigError `not-found` for a named file that is missing, `unreadable`
 */
export function findConfigFiles(name: string, search: ConfigSearch): ConfigFile[] {
  const root = search.systemRoot ?? '';
  const main = [
    join(configHomeOf(search), 'containers', name),
    `${root}/etc/containers/${name}`,
    `${root}/usr/share/containers/${name}`,
  ];
  const files: ConfigFile[] = [];
  const only = search.environment[search.variable];
  if (only) files.push(named(only, search.variable));
  else {
    const first = main.map(readConfig).find((file) => file !== undefined);
    if (first) files.push(first);
    files.push(...dropIns(main.toReversed(), name, search));
  }
  for (const module of search.modules ?? []) files.push(moduleFile(module, main));
  const override = search.environment[`${search.variable}_OVERRIDE`];
  if (override) files.push(named(override, `${search.variable}_OVERRIDE`));
  return files;
}

function named(path: string, variable: string): ConfigFile {
  const file = readConfig(path);
  if (file) return file;
  throw new ConfigError('not-found', `the file ${path} that ${variable} names does not exist`, {
    facts: { path },
  });
}

function readConfig(path: string): ConfigFile | undefined {
  try {
    return ifThere(() => ({ path, text: readFileSync(path, 'utf8') }), 'ENOENT', 'ENOTDIR');
  } catch (cause) {
    throw new ConfigError('unreadable', `${path} cannot be read`, { cause, facts: { path } });
  }
}

/** @param main from the weakest to the strongest place */
function dropIns(main: readonly string[], name: string, search: ConfigSearch): ConfigFile[] {
  const uid = uidOf(search);
  const extension = name.slice(name.lastIndexOf('.'));
  const stem = name.slice(0, -extension.length);
  const byName = new Map<string, string>();
  for (const [index, path] of main.entries()) {
    const special = `${path.slice(0, -name.length)}${stem}.${uid > 0 ? 'rootless' : 'rootful'}${extension}.d`;
    const isUsers = index === main.length - 1;
    const own = isUsers ? [] : [special, ...(uid > 0 ? [join(special, String(uid))] : [])];
    for (const directory of [`${path}.d`, ...own])
      for (const file of list(directory, extension)) byName.set(file, join(directory, file));
  }
  return [...byName.keys()].sort().flatMap((file) => readConfig(byName.get(file) as string) ?? []);
}

function list(directory: string, extension: string): string[] {
  try {
    const entries = ifThere(() => readdirSync(directory, { withFileTypes: true }), 'ENOENT', 'ENOTDIR') ?? [];
    return entries
      .filter((entry) => entry.isFile() && entry.name.endsWith(extension))
      .map((entry) => entry.name);
  } catch (cause) {
    throw new ConfigError('unreadable', `${directory} cannot be read`, { cause, facts: { path: directory } });
  }
}

function moduleFile(module: string, main: readonly string[]): ConfigFile {
  const candidates = isAbsolute(module) ? [module] : main.map((path) => join(`${path}.modules`, module));
  const file = candidates.map(readConfig).find((found) => found !== undefined);
  if (file) return file;
  throw new ConfigError('not-found', `could not resolve module: ${candidates.join(', ')} do not exist`);
}
