import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import tls from 'node:tls';
import type { CommandContext } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';

const VERSIONS: Readonly<Record<string, tls.SecureVersion>> = {
  '1.0': 'TLSv1',
  '1.1': 'TLSv1.1',
  '1.2': 'TLSv1.2',
  '1.3': 'TLSv1.3',
};
const GROUPS: Readonly<Record<string, string>> = {
  secp256r1: 'P-256',
  secp384r1: 'P-384',
  secp521r1: 'P-521',
  x25519: 'X25519',
  X25519: 'X25519',
};

/**
 * Applies `--tls-details` (containers-tls-details.yaml(5)) to every TLS connection of this process.
 * @throws UsageError for unknown keys, versions, suites and groups
 */
export async function applyTlsDetails({ globals, io }: CommandContext): Promise<void> {
  const name = globals.string('tls-details');
  if (name === '') return;
  const { parse } = await import('yaml');
  const bad = (why: string) => new UsageError('usage', `${name}: ${why}`);
  const text = await readFile(resolve(io.workingDirectory, name), 'utf8');
  const value: unknown = parse(text) ?? {};
  if (typeof value !== 'object' || Array.isArray(value) || value === null) throw bad('it is not a mapping');
  for (const [key, setting] of Object.entries(value as Readonly<Record<string, unknown>>)) {
    if (key === 'minVersion') {
      const version = VERSIONS[String(setting)];
      if (!version) throw bad(`unknown TLS version ${JSON.stringify(setting)}`);
      tls.DEFAULT_MIN_VERSION = version;
    } else if (key === 'cipherSuites') tls.DEFAULT_CIPHERS = suites(list(setting, key, bad), bad);
    else if (key === 'namedGroups')
      tls.DEFAULT_ECDH_CURVE = list(setting, key, bad)
        .map((group) => GROUPS[group] ?? group)
        .join(':');
    else throw bad(`unknown key ${JSON.stringify(key)}`);
  }
}

function list(value: unknown, key: string, bad: (why: string) => UsageError): readonly string[] {
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value as string[];
  throw bad(`${key} is not a list of names`);
}

/** OpenSSL's names for IANA's. */
function suites(names: readonly string[], bad: (why: string) => UsageError): string {
  if (names.length === 0) throw bad('an empty list of cipher suites allows no connection');
  const known = tls.getCiphers().map((cipher) => cipher.toUpperCase());
  return names
    .map((name) => {
      const openssl = name
        .replace(/^TLS_(ECDHE|DHE)_(RSA|ECDSA)_WITH_/, '$1-$2-')
        .replace(/^TLS_RSA_WITH_/, '')
        .replace(/AES_(128|256)_/, 'AES$1-')
        .replace(/CHACHA20_POLY1305_SHA256$/, 'CHACHA20-POLY1305')
        .replaceAll('_', name.startsWith('TLS_AES') || name.startsWith('TLS_CHACHA20') ? '_' : '-');
      const suite = name.startsWith('TLS_AES') || name.startsWith('TLS_CHACHA20') ? name : openssl;
      if (!known.includes(suite.toUpperCase())) throw bad(`unknown cipher suite ${JSON.stringify(name)}`);
      return suite;
    })
    .join(':');
}
