import { formatReference, type NamedReference, parseReference, repositoryOf } from '../image/reference.ts';
import { ConfigError } from './error.ts';
import type { RegistriesConfig, RegistryEndpoint, RegistryRule } from './registries-types.ts';

/** Where an image may be pulled from; the registry itself comes after its mirrors. */
export interface PullSource {
  readonly reference: NamedReference;
  readonly insecure: boolean;
}

/** The rule with the longest prefix that matches a host or repository name; undefined where none does. */
export function findRegistry(config: RegistriesConfig, name: string): RegistryRule | undefined {
  let found: RegistryRule | undefined;
  for (const rule of config.rules)
    if (matchedLength(name, rule.prefix) >= 0 && rule.prefix.length > (found?.prefix.length ?? 0))
      found = rule;
  return found;
}

/**
 * How many characters of `name` the prefix covers, or -1. `*.example.com` covers any host below example.com
 * (containers-registries.conf(5), "Choosing a [[registry]] TOML table").
 */
export function matchedLength(name: string, prefix: string): number {
  let end: number;
  if (prefix.startsWith('*.')) {
    const suffix = prefix.slice(1);
    const at = name.indexOf(suffix);
    if (at < 0 || name.slice(0, at).includes('/')) return -1;
    end = at + suffix.length;
  } else {
    if (!name.startsWith(prefix)) return -1;
    end = prefix.length;
  }
  return end === name.length || ':/@'.includes(name[end] as string) ? end : -1;
}

/**
 * The places to try in order for an image.
 * @throws ConfigError `bad-config` where a rewritten name is malformed
 */
export function pullSources(rule: RegistryRule | undefined, reference: NamedReference): PullSource[] {
  if (!rule) return [{ reference, insecure: false }];
  const byDigest = reference.digest !== undefined;
  const mirrors = rule.mirrors.filter(({ pullFromMirror }) => {
    if (rule.mirrorByDigestOnly) return byDigest;
    return pullFromMirror === 'all' || (pullFromMirror === 'digest-only') === byDigest;
  });
  return [...mirrors, rule].map((endpoint) => ({
    reference: rewrite(endpoint, rule.prefix, reference),
    insecure: endpoint.insecure,
  }));
}

function rewrite(endpoint: RegistryEndpoint, prefix: string, reference: NamedReference): NamedReference {
  const text = formatReference(reference);
  const length = matchedLength(text, prefix);
  if (length < 0) throw new Error(`prefix ${prefix} does not match ${text}`);
  if (endpoint.location === '') return reference;
  const rewritten = endpoint.location + text.slice(length);
  const parsed = parseReference(rewritten);
  if (!rewritten.startsWith(repositoryOf(parsed)))
    throw new ConfigError(
      'bad-config',
      `rewriting reference: ${JSON.stringify(rewritten)} is not a complete name with a registry`,
      { hint: 'correct the location of this prefix in registries.conf' },
    );
  return parsed;
}
