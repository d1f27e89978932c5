import { ImageError } from '../image/error.ts';
import { parseReference } from '../image/reference.ts';
import { ConfigError } from './error.ts';
import {
  type RegistriesFile,
  type RegistryMirror,
  type RegistryRule,
  SHORT_NAME_MODES,
  type ShortNameAlias,
  type ShortNameMode,
} from './registries-types.ts';
import { parseToml } from './toml.ts';

type Table = Readonly<Record<string, unknown>>;

const V2_KEYS = [
  'registry',
  'unqualified-search-registries',
  'credential-helpers',
  'short-name-mode',
  'additional-layer-store-auth-helper',
  'aliases',
];
const PULL_MODES = ['all', 'digest-only', 'tag-only'] as const;

/**
 * Reads one registries.conf. The old format (version 1, a table `registries`) is converted; drop-ins must not use it.
 * Unknown keys pass, as containers/image lets them (pkg/sysregistriesv2).
 * @throws ConfigError `bad-config`
 */
export async function parseRegistriesFile(
  text: string,
  path: string,
  options: { readonly dropIn?: boolean } = {},
): Promise<RegistriesFile> {
  // Distributions ship the file with comments alone; that needs no parser.
  if (text.split('\n').every((line) => /^\s*(?:#|$)/.test(line))) return { rules: [], aliases: new Map() };
  const fail = (why: string, cause?: unknown) =>
    new ConfigError('bad-config', `loading registries configuration ${JSON.stringify(path)}: ${why}`, {
      cause,
      facts: { path },
    });
  const plain = plainAliases(text);
  if (plain) return { rules: [], aliases: parseAliases(plain, path, fail) };
  let table: Table;
  try {
    table = (await parseToml(text)) as Table;
  } catch (cause) {
    throw fail((cause as Error).message.split('\n')[0] as string, cause);
  }
  if (table.registries !== undefined) {
    if (options.dropIn) throw fail('registry must be in v2 format but is in v1');
    if (V2_KEYS.some((key) => table[key] !== undefined))
      throw fail('mixing sysregistry v1/v2 is not supported');
    return convertV1(table.registries as Table, fail);
  }
  return parseV2(table, path, fail);
}

/**
 * The table of a file with nothing but simple aliases, such as the long list that distributions ship: reading it needs
 * no TOML parser. Undefined for everything else.
 */
function plainAliases(text: string): Table | undefined {
  const aliases: Record<string, string> = Object.create(null) as Record<string, string>;
  let inside = false;
  for (const line of text.split('\n')) {
    if (/^[ \t\r]*(?:#|$)/.test(line)) continue;
    if (/^[ \t]*\[aliases\][ \t\r]*$/.test(line) && !inside) {
      inside = true;
      continue;
    }
    const match = /^[ \t]*(?:"([^"\\]+)"|([A-Za-z0-9_-]+))[ \t]*=[ \t]*"([^"\\]*)"[ \t\r]*(?:#.*)?$/.exec(
      line,
    );
    const name = match?.[1] ?? match?.[2];
    if (!match || !inside || name === undefined || name in aliases) return undefined;
    aliases[name] = match[3] as string;
  }
  return aliases;
}

type Fail = (why: string, cause?: unknown) => ConfigError;

function parseV2(table: Table, path: string, fail: Fail): RegistriesFile {
  const rules = firstOfEachPrefix(
    tables(table.registry, 'registry', fail).map((entry) => parseRule(entry, fail)),
  );
  refuseConflicts(rules, fail);
  const search = strings(table['unqualified-search-registries'], 'unqualified-search-registries', fail);
  const helpers = strings(table['credential-helpers'], 'credential-helpers', fail);
  const mode = text(table['short-name-mode'], 'short-name-mode', fail);
  return {
    rules,
    aliases: parseAliases(table.aliases, path, fail),
    ...(search ? { searchRegistries: search.map((entry) => searchRegistry(entry, fail)) } : {}),
    ...(helpers ? { credentialHelpers: helpers } : {}),
    ...(mode ? { shortNameMode: shortNameMode(mode, fail) } : {}),
  };
}

function parseRule(entry: Table, fail: Fail): RegistryRule {
  const location = locationOf(text(entry.location, 'location', fail) ?? '', fail);
  const given = locationOf(text(entry.prefix, 'prefix', fail) ?? '', fail);
  if (!given && !location) throw fail('invalid condition: both location and prefix are unset');
  const prefix = given || location;
  const wildcard = prefix.startsWith('*.');
  if (!location && !wildcard)
    throw fail('invalid condition: location is unset and prefix is not in the format: *.example.com');
  if (wildcard && /[/@:]/.test(prefix))
    throw fail(
      `Wildcarded prefix should be in the format: *.example.com. Current prefix ${JSON.stringify(prefix)} is incorrectly formatted`,
    );
  if (entry['pull-from-mirror'])
    throw fail(`pull-from-mirror must not be set for a non-mirror registry ${JSON.stringify(prefix)}`);
  const mirrorByDigestOnly = bool(entry['mirror-by-digest-only'], 'mirror-by-digest-only', fail);
  return {
    prefix,
    location,
    insecure: bool(entry.insecure, 'insecure', fail),
    blocked: bool(entry.blocked, 'blocked', fail),
    mirrorByDigestOnly,
    mirrors: tables(entry.mirror, 'mirror', fail).map((mirror) =>
      parseMirror(mirror, { prefix, mirrorByDigestOnly }, fail),
    ),
  };
}

function parseMirror(
  entry: Table,
  of: { readonly prefix: string; readonly mirrorByDigestOnly: boolean },
  fail: Fail,
): RegistryMirror {
  const location = locationOf(text(entry.location, 'location', fail) ?? '', fail);
  if (!location) throw fail('invalid condition: mirror location is unset');
  const mode = text(entry['pull-from-mirror'], 'pull-from-mirror', fail) || undefined;
  if (mode && of.mirrorByDigestOnly)
    throw fail(
      `cannot set mirror usage mirror-by-digest-only for the registry (${JSON.stringify(of.prefix)}) and pull-from-mirror for per-mirror (${JSON.stringify(location)}) at the same time`,
    );
  const known = PULL_MODES.find((candidate) => candidate === (mode ?? 'all'));
  if (!known)
    throw fail(
      `unsupported pull-from-mirror value ${JSON.stringify(mode)} for mirror ${JSON.stringify(location)}`,
    );
  return { location, insecure: bool(entry.insecure, 'insecure', fail), pullFromMirror: known };
}

function firstOfEachPrefix(rules: readonly RegistryRule[]): RegistryRule[] {
  return rules.filter((rule, index) => rules.findIndex(({ prefix }) => prefix === rule.prefix) === index);
}

function refuseConflicts(rules: readonly RegistryRule[], fail: Fail): void {
  const seen = new Map<string, RegistryRule>();
  for (const rule of rules) {
    const key = rule.location || rule.prefix;
    const other = seen.get(key) ?? rule;
    seen.set(key, other);
    for (const setting of ['insecure', 'blocked'] as const)
      if (other[setting] !== rule[setting])
        throw fail(
          `registry '${rule.location}' is defined multiple times with conflicting '${setting}' setting`,
        );
  }
}

function convertV1(registries: Table, fail: Fail): RegistriesFile {
  const list = (key: string) => {
    const section = registries[key];
    return section === undefined
      ? []
      : (strings((section as Table).registries, `${key}.registries`, fail) ?? []);
  };
  const rules = new Map<string, { insecure: boolean; blocked: boolean }>();
  for (const [key, setting] of [
    ['block', 'blocked'],
    ['insecure', 'insecure'],
  ] as const)
    for (const entry of list(key)) {
      const location = locationOf(entry, fail);
      const rule = rules.get(location) ?? { insecure: false, blocked: false };
      rule[setting] = true;
      rules.set(location, rule);
    }
  return {
    aliases: new Map(),
    searchRegistries: list('search').map((entry) => searchRegistry(entry, fail)),
    rules: [...rules].map(([location, rule]) => ({
      ...rule,
      location,
      prefix: location,
      mirrors: [],
      mirrorByDigestOnly: false,
    })),
  };
}

function parseAliases(value: unknown, path: string, fail: Fail): Map<string, ShortNameAlias> {
  const aliases = new Map<string, ShortNameAlias>();
  if (value === undefined) return aliases;
  for (const [name, target] of Object.entries(value as Table)) {
    if (typeof target !== 'string') throw fail(`alias ${JSON.stringify(name)} is not a string`);
    checkAlias(name, target, (why) => fail(`validating short-name aliases: ${why}`));
    aliases.set(name, { value: target, path });
  }
  return aliases;
}

/** @throws what `fail` makes, for a name that is not short or a value without a registry, or with a tag or digest */
export function checkAlias(name: string, value: string, fail: (why: string) => Error): void {
  try {
    const short = parseReference(name);
    const first = name.split('/')[0] as string;
    const hasDomain = name.includes('/') && (/[.:]/.test(first) || first === 'localhost');
    if (hasDomain || short.tag || short.digest)
      throw fail(`invalid short name ${JSON.stringify(name)}: must not contain a registry, tag or digest`);
    if (value === '') return;
    const full = parseReference(value);
    const domain = value.split('/')[0] as string;
    if (!value.includes('/') || !(/[.:]/.test(domain) || domain === 'localhost'))
      throw fail(`invalid alias value ${JSON.stringify(value)}: must contain a registry and a repository`);
    if (full.tag || full.digest)
      throw fail(`invalid alias value ${JSON.stringify(value)}: must not contain a tag or digest`);
  } catch (error) {
    if (error instanceof ImageError) throw fail(error.message);
    throw error;
  }
}

function searchRegistry(entry: string, fail: Fail): string {
  const registry = locationOf(entry, fail);
  if (!/^[A-Za-z0-9[][A-Za-z0-9.:\]-]*$/.test(registry) || registry.endsWith('-'))
    throw fail(`Invalid unqualified-search-registries entry ${JSON.stringify(registry)}`);
  return registry;
}

function locationOf(input: string, fail: Fail): string {
  if (/^https?:\/\//.test(input)) throw fail(`invalid location '${input}': URI schemes are not supported`);
  return input.replace(/\/+$/, '');
}

function shortNameMode(mode: string, fail: Fail): ShortNameMode {
  const known = SHORT_NAME_MODES.find((candidate) => candidate === mode);
  if (!known) throw fail(`invalid short-name mode: ${JSON.stringify(mode)}`);
  return known;
}

function tables(value: unknown, key: string, fail: Fail): Table[] {
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.some((item) => typeof item !== 'object'))
    throw fail(`${key} is not an array of tables`);
  return value as Table[];
}

function strings(value: unknown, key: string, fail: Fail): string[] | undefined {
  if (value === undefined) return undefined;
  if (!Array.isArray(value) || value.some((item) => typeof item !== 'string'))
    throw fail(`${key} is not an array of strings`);
  return value as string[];
}

function text(value: unknown, key: string, fail: Fail): string | undefined {
  if (value !== undefined && typeof value !== 'string') throw fail(`${key} is not a string`);
  return value;
}

function bool(value: unknown, key: string, fail: Fail): boolean {
  if (value !== undefined && typeof value !== 'boolean') throw fail(`${key} is not true or false`);
  return value ?? false;
}
