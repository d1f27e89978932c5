/** One place that images come from, in registries.conf version 2: containers-registries.conf(5). */
export interface RegistryEndpoint {
  /** `host[:port][/path]`; empty only for a wildcard prefix without rewriting. */
  readonly location: string;
  readonly insecure: boolean;
}

export interface RegistryMirror extends RegistryEndpoint {
  readonly pullFromMirror: 'all' | 'digest-only' | 'tag-only';
}

export interface RegistryRule extends RegistryEndpoint {
  /** `host[:port][/path]` or `*.example.com`. */
  readonly prefix: string;
  readonly blocked: boolean;
  readonly mirrorByDigestOnly: boolean;
  readonly mirrors: readonly RegistryMirror[];
}

export const SHORT_NAME_MODES = ['disabled', 'permissive', 'enforcing'] as const;
export type ShortNameMode = (typeof SHORT_NAME_MODES)[number];

/** A short name's full name, and the file that says so. */
export interface ShortNameAlias {
  readonly value: string;
  readonly path: string;
}

/** What one file says; what is undefined is left to others. */
export interface RegistriesFile {
  readonly rules: readonly RegistryRule[];
  readonly searchRegistries?: readonly string[];
  readonly shortNameMode?: ShortNameMode;
  readonly credentialHelpers?: readonly string[];
  /** An empty value forgets the alias that an earlier file set. */
  readonly aliases: ReadonlyMap<string, ShortNameAlias>;
}

/** registries.conf and its drop-ins, merged. */
export interface RegistriesConfig {
  readonly rules: readonly RegistryRule[];
  readonly searchRegistries: readonly string[];
  /** The file that {@link searchRegistries} come from; undefined without any file. */
  readonly searchOrigin?: string;
  /** Default `permissive`. */
  readonly shortNameMode: ShortNameMode;
  /** `containers-auth.json` stands for the auth files themselves. */
  readonly credentialHelpers: readonly string[];
  readonly aliases: ReadonlyMap<string, ShortNameAlias>;
  /** The files and directories that were looked at, for messages. */
  readonly sources: readonly string[];
}
