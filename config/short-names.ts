import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isSystemError } from '../errors.ts';
import { type NamedReference, parseReference, withDefaultTag } from '../image/reference.ts';
import { ConfigError } from './error.ts';
import { cacheHomeOf, type HostEnvironment, uidOf } from './host.ts';
import { checkAlias, parseRegistriesFile } from './registries-file.ts';
import type { RegistriesConfig, ShortNameMode } from './registries-types.ts';

/** What a typed name may stand for. */
export interface ResolvedName {
  /** To be tried in order; never empty. */
  readonly candidates: readonly NamedReference[];
  /** `Resolved "alpine" as an alias (file)`; empty for a full name. */
  readonly description: string;
  /** The user has to choose first (mode `enforcing` or a terminal): remember the choice with {@link recordAlias}. */
  readonly ambiguous: boolean;
}

export interface ShortNameOptions extends HostEnvironment {
  readonly registries: RegistriesConfig;
  /** Overrides the configured mode. */
  readonly mode?: ShortNameMode;
  /** Whether the user can be asked to choose; default false. */
  readonly interactive?: boolean;
  /** Default: {@link aliasFile}. */
  readonly aliasFile?: string;
}

/** True for `alpine` or `user/image`, false for `quay.io/x`, `localhost/x`, `host:5000/x`. */
export function isShortName(name: string): boolean {
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  return !(/[.:]/.test(first) || first === 'localhost');
}

/**
 * The full names that a name may stand for: itself, its alias, or one for each unqualified-search registry
 * (containers/image pkg/shortnames).
 * @throws ImageError `bad-reference`; ConfigError `bad-config` when there is nothing to try, or in mode `enforcing`
 * when there are several and nobody can be asked
 */
export async function resolveShortName(name: string, options: ShortNameOptions): Promise<ResolvedName> {
  const plain = parseReference(name);
  if (!isShortName(name)) return { candidates: [withDefaultTag(plain)], description: '', ambiguous: false };
  const { registries } = options;
  const repository = name.replace(/@.*$/, '').replace(/:[^/]*$/, '');
  const alias = (await recordedAliases(options)).get(repository) ?? registries.aliases.get(repository);
  if (alias) {
    const target = { ...parseReference(alias.value), ...selectorOf(plain) };
    return {
      candidates: [withDefaultTag(target)],
      description: `Resolved ${JSON.stringify(repository)} as an alias (${alias.path})`,
      ambiguous: false,
    };
  }
  const { searchRegistries, searchOrigin } = registries;
  if (searchRegistries.length === 0)
    throw new ConfigError(
      'bad-config',
      searchOrigin
        ? `short-name ${JSON.stringify(name)} did not resolve to an alias and no unqualified-search registries are defined in ${JSON.stringify(searchOrigin)}`
        : `short-name ${JSON.stringify(name)} did not resolve to an alias and no containers-registries.conf(5) was found`,
      { hint: `give the full name, such as docker.io/${plain.path}` },
    );
  const candidates = searchRegistries.map((registry) =>
    withDefaultTag(parseReference(`${registry}/${name}`)),
  );
  return {
    candidates,
    description: `Resolving ${JSON.stringify(repository)} using unqualified-search registries (${searchOrigin})`,
    ambiguous: mustAsk(candidates.length, options),
  };
}

function selectorOf({ tag, digest }: NamedReference): Pick<NamedReference, 'tag' | 'digest'> {
  return { ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) };
}

function mustAsk(count: number, { mode, registries, interactive }: ShortNameOptions): boolean {
  const effective = mode ?? registries.shortNameMode;
  if (effective === 'disabled' || count === 1) return false;
  if (interactive) return true;
  if (effective === 'enforcing')
    throw new ConfigError('bad-config', 'short-name resolution enforced but cannot prompt without a TTY', {
      hint: 'give the full name with its registry',
    });
  return false;
}

/** Where chosen aliases are remembered: `/var/cache/containers` for root, else the user's cache. */
export function aliasFile(host: HostEnvironment): string {
  const cache = uidOf(host) === 0 ? '/var/cache' : cacheHomeOf(host);
  return join(cache, 'containers/short-name-aliases.conf');
}

async function recordedAliases(options: ShortNameOptions) {
  const path = options.aliasFile ?? aliasFile(options);
  return (await readAliases(path)) ?? new Map<string, { readonly value: string; readonly path: string }>();
}

async function readAliases(path: string) {
  try {
    return (await parseRegistriesFile(await readFile(path, 'utf8'), path)).aliases;
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'EACCES')) return undefined;
    throw error;
  }
}

/**
 * Remembers which full name the user chose for a short one.
 * @throws ConfigError `bad-config` for a name that is not short or a value that is not full
 */
export async function recordAlias(name: string, value: string, path: string): Promise<void> {
  checkAlias(name, value, (why) => new ConfigError('bad-config', why));
  const aliases = new Map(await readAliases(path));
  aliases.set(name, { value, path });
  const lines = [...aliases].map(([key, alias]) => `${JSON.stringify(key)} = ${JSON.stringify(alias.value)}`);
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  {
    await using file = await open(temporary, 'w', 0o600);
    await file.writeFile(`[aliases]\n  ${lines.sort().join('\n  ')}\n`);
  }
  await rename(temporary, path);
}
