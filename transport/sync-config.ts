import { type Digest, tryParseDigest } from '../image/digest.ts';
import { type Platform, parsePlatform } from '../image/platform.ts';
import { isTag, type NamedReference, parseReference } from '../image/reference.ts';
import { TransportError } from './error.ts';

/** Which images of one repository are mirrored. All conditions that are given must hold. */
export interface RepositorySelection {
  /** Without tag and digest. */
  readonly repository: NamedReference;
  /** Exactly these tags and digests; absent: all tags. */
  readonly references?: readonly (string | Digest)[];
  readonly matches?: RegExp;
  /** A version range as in npm and Skopeo, such as `>=1.2 <2`. */
  readonly semver?: string;
  /** Tags that match one of these stay behind. */
  readonly excludes: readonly RegExp[];
  /** `{path}` and `{tag}` are replaced; absent: the name below the destination stays. */
  readonly rename?: string;
  /** Of indexes only these; absent: as the command says. */
  readonly platforms?: readonly Platform[];
  /** Remove tags of the destination that the source has not. */
  readonly prune: boolean;
}

/** One registry of a sync file. */
export interface RegistrySelection {
  readonly registry: string;
  readonly repositories: readonly RepositorySelection[];
  readonly credentials?: { readonly username: string; readonly password: string };
  readonly tlsVerify?: boolean;
  readonly certificateDirectory?: string;
  /** The most tags that pruning may remove; default 10. */
  readonly pruneLimit: number;
}

const REGISTRY_KEYS = [
  'images',
  'images-by-tag-regex',
  'images-by-semver',
  'repositories',
  'credentials',
  'tls-verify',
  'cert-dir',
  'prune-limit',
];
const REPOSITORY_KEYS = ['tags', 'regex', 'semver', 'exclude', 'rename', 'platforms', 'prune'];
const DEFAULT_PRUNE_LIMIT = 10;

type Mapping = Readonly<Record<string, unknown>>;

/**
 * Reads a sync file: Skopeo's keys, and `repositories` for conditions together, excludes, renames, platforms and
 * pruning. Unknown keys, broken patterns and ranges, and empty registries are errors: none is skipped.
 * @param name of the file, for messages
 * @throws TransportError `bad-option`
 */
export async function parseSyncConfig(
  text: string,
  name: string,
  host: Platform,
): Promise<readonly RegistrySelection[]> {
  const { parse } = await import('yaml');
  let value: unknown;
  try {
    value = parse(text, { uniqueKeys: true, maxAliasCount: 100, logLevel: 'error' });
  } catch (cause) {
    const why = cause instanceof Error ? (cause.message.split('\n')[0] as string) : String(cause);
    throw new TransportError('bad-option', `Failed to unmarshal ${JSON.stringify(name)}: ${why}`, { cause });
  }
  const reader = new Reader(name, host);
  const registries = Object.entries(reader.mapping(value, 'the file'));
  if (registries.length === 0) throw reader.bad('it names no registry');
  const read = registries.map(([registry, entry]) => reader.registry(registry, entry));
  await reader.checkRanges();
  return read;
}

class Reader {
  readonly #name: string;
  readonly #host: Platform;
  readonly #ranges: { readonly text: string; readonly where: string }[] = [];

  constructor(name: string, host: Platform) {
    this.#name = name;
    this.#host = host;
  }

  registry(registry: string, value: unknown): RegistrySelection {
    const entry = this.mapping(value, registry);
    this.#known(entry, REGISTRY_KEYS, registry);
    const repositories = [
      ...this.#listed(registry, entry.images),
      ...this.#byPattern(registry, entry['images-by-tag-regex'], 'regex'),
      ...this.#byPattern(registry, entry['images-by-semver'], 'semver'),
      ...this.#extended(registry, entry.repositories),
    ];
    if (repositories.length === 0) throw this.bad(`no images are given for registry ${registry}`);
    const certificates = entry['cert-dir'];
    const verify = entry['tls-verify'];
    if (verify !== undefined && typeof verify !== 'boolean')
      throw this.bad(`${registry}: tls-verify is neither true nor false`);
    const limit = entry['prune-limit'] ?? DEFAULT_PRUNE_LIMIT;
    if (typeof limit !== 'number' || !Number.isInteger(limit) || limit < 0)
      throw this.bad(`${registry}: prune-limit is not a number of tags`);
    return {
      registry,
      repositories,
      pruneLimit: limit,
      ...(verify === undefined ? {} : { tlsVerify: verify }),
      ...(certificates === undefined
        ? {}
        : { certificateDirectory: this.#text(certificates, `${registry}: cert-dir`) }),
      ...this.#credentials(registry, entry.credentials),
    };
  }

  mapping(value: unknown, where: string): Mapping {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw this.bad(`${where} is not a mapping`);
    return value as Mapping;
  }

  bad(why: string): TransportError {
    return new TransportError('bad-option', `${this.#name}: ${why}`, { facts: { path: this.#name } });
  }

  #credentials(registry: string, value: unknown): Pick<RegistrySelection, 'credentials'> {
    if (value === undefined) return {};
    const entry = this.mapping(value, `${registry}: credentials`);
    this.#known(entry, ['username', 'password'], `${registry}: credentials`);
    return {
      credentials: {
        username: this.#text(entry.username, `${registry}: credentials.username`),
        password: this.#text(entry.password, `${registry}: credentials.password`),
      },
    };
  }

  /** Skopeo's `images`: a list of tags and digests, an empty one means all tags. */
  #listed(registry: string, value: unknown): RepositorySelection[] {
    if (value === undefined || value === null) return [];
    return Object.entries(this.mapping(value, `${registry}: images`)).map(([path, list]) => {
      const repository = this.#repository(registry, path);
      const references = this.#references(list, `${registry}: images.${path}`);
      return { repository, excludes: [], prune: false, ...(references.length ? { references } : {}) };
    });
  }

  #byPattern(registry: string, value: unknown, kind: 'regex' | 'semver'): RepositorySelection[] {
    if (value === undefined || value === null) return [];
    const key = kind === 'regex' ? 'images-by-tag-regex' : 'images-by-semver';
    return Object.entries(this.mapping(value, `${registry}: ${key}`)).map(([path, pattern]) => {
      const where = `${registry}: ${key}.${path}`;
      return {
        repository: this.#repository(registry, path),
        excludes: [],
        prune: false,
        ...(kind === 'regex'
          ? { matches: this.#regex(pattern, where) }
          : { semver: this.#range(pattern, where) }),
      };
    });
  }

  #extended(registry: string, value: unknown): RepositorySelection[] {
    if (value === undefined || value === null) return [];
    return Object.entries(this.mapping(value, `${registry}: repositories`)).map(([path, raw]) => {
      const where = `${registry}: repositories.${path}`;
      const entry = this.mapping(raw ?? {}, where);
      this.#known(entry, REPOSITORY_KEYS, where);
      const references = this.#references(entry.tags, `${where}.tags`);
      const excludes = this.#list(entry.exclude, `${where}.exclude`);
      const platforms = this.#list(entry.platforms, `${where}.platforms`);
      if (entry.tags !== undefined && references.length === 0) throw this.bad(`${where}.tags is empty`);
      if (entry.prune !== undefined && typeof entry.prune !== 'boolean')
        throw this.bad(`${where}.prune is neither true nor false`);
      return {
        repository: this.#repository(registry, path),
        excludes: excludes.map((pattern) => this.#regex(pattern, `${where}.exclude`)),
        prune: entry.prune === true,
        ...(references.length ? { references } : {}),
        ...(entry.regex === undefined ? {} : { matches: this.#regex(entry.regex, `${where}.regex`) }),
        ...(entry.semver === undefined ? {} : { semver: this.#range(entry.semver, `${where}.semver`) }),
        ...(entry.rename === undefined ? {} : { rename: this.#text(entry.rename, `${where}.rename`) }),
        ...(platforms.length ? { platforms: platforms.map((text) => parsePlatform(text, this.#host)) } : {}),
      };
    });
  }

  #known(entry: Mapping, keys: readonly string[], where: string): void {
    const odd = Object.keys(entry).find((key) => !keys.includes(key));
    if (odd !== undefined)
      throw this.bad(`${where} has the unknown key ${JSON.stringify(odd)}; known are ${keys.join(', ')}`);
  }

  #repository(registry: string, path: string): NamedReference {
    const named = parseReference(`${registry}/${path}`);
    if (named.tag !== undefined || named.digest !== undefined)
      throw this.bad(`${registry}/${path} names an image, not a repository`);
    return named;
  }

  #references(value: unknown, where: string): readonly (string | Digest)[] {
    return this.#list(value, where).map((text) => {
      if (tryParseDigest(text) || isTag(text)) return text;
      throw this.bad(`${where}: ${JSON.stringify(text)} is neither a tag nor a digest`);
    });
  }

  /** YAML reads tags such as 1.10 as numbers, which would lose digits: they must be quoted. */
  #list(value: unknown, where: string): readonly string[] {
    if (value === undefined || value === null) return [];
    if (!Array.isArray(value)) throw this.bad(`${where} is not a list`);
    return value.map((item) => this.#text(item, where));
  }

  #text(value: unknown, where: string): string {
    if (typeof value === 'number')
      throw this.bad(`${where}: put the number ${value} in quotes, so that it stays as it is written`);
    if (typeof value !== 'string') throw this.bad(`${where} is not a text`);
    return value;
  }

  #regex(value: unknown, where: string): RegExp {
    const text = this.#text(value, where);
    try {
      return new RegExp(text.replace(/^\(\?i\)/, ''), text.startsWith('(?i)') ? 'i' : '');
    } catch (cause) {
      throw this.bad(
        `${where}: ${JSON.stringify(text)} is not a regular expression: ${(cause as Error).message}`,
      );
    }
  }

  #range(value: unknown, where: string): string {
    const text = this.#text(value, where).replaceAll(',', ' ');
    this.#ranges.push({ text, where });
    return text;
  }

  /** Behind everything else, since few files have any and the package for them takes long to load. */
  async checkRanges(): Promise<void> {
    if (this.#ranges.length === 0) return;
    const { validRange } = await import('semver');
    for (const { text, where } of this.#ranges)
      if (validRange(text) === null)
        throw this.bad(`${where}: ${JSON.stringify(text)} is not a range of versions`);
  }
}
