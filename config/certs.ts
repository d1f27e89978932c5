import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ifThere, isSystemError } from '../errors.ts';
import { ConfigError } from './error.ts';
import { type HostEnvironment, homeOf } from './host.ts';

/** What certs.d says about one registry, as PEM texts. */
export interface RegistryCertificates {
  /** Trusted beside the system's authorities. */
  readonly authorities: readonly string[];
  /** Certificates with their keys, shown to the registry when it asks. */
  readonly clients: readonly { readonly certificate: string; readonly key: string }[];
}

export interface CertificateOptions extends HostEnvironment {
  /** A directory for this registry alone (`--cert-dir`). */
  readonly directory?: string;
  /** Directories with one subdirectory for each host; absent: containers-certs.d(5)'s. */
  readonly parents?: readonly string[];
}

/**
 * Reads `*.crt` (authorities) and `*.cert` with `*.key` (client certificates) for `host[:port]`. The first parent that
 * has a directory of that name counts; none is no certificates (containers-certs.d(5)).
 * @throws ConfigError `bad-config` for a certificate without its key or the other way round, `unreadable`
 */
export async function readCertificates(
  host: string,
  options: CertificateOptions,
): Promise<RegistryCertificates> {
  const directory = options.directory ?? hostDirectory(host, options);
  const names = directory === undefined ? [] : listDirectory(directory);
  if (directory === undefined || names.length === 0) return { authorities: [], clients: [] };
  const read = (name: string) => readPem(join(directory, name));
  const clients: { certificate: string; key: string }[] = [];
  for (const name of names.filter((candidate) => candidate.endsWith('.cert'))) {
    const key = name.replace(/\.cert$/, '.key');
    if (!names.includes(key))
      throw new ConfigError(
        'bad-config',
        `missing key ${key} for client certificate ${name}. Note that CA certificates should use the extension .crt`,
        { facts: { path: directory } },
      );
    clients.push({ certificate: read(name), key: read(key) });
  }
  for (const name of names.filter((candidate) => candidate.endsWith('.key')))
    if (!names.includes(name.replace(/\.key$/, '.cert')))
      throw new ConfigError(
        'bad-config',
        `missing client certificate ${name.replace(/\.key$/, '.cert')} for key ${name}`,
        { facts: { path: directory } },
      );
  const authorities = names.filter((name) => name.endsWith('.crt')).map(read);
  return { authorities, clients };
}

function hostDirectory(host: string, options: CertificateOptions): string | undefined {
  const parents = options.parents ?? [
    join(homeOf(options), '.config/containers/certs.d'),
    '/etc/containers/certs.d',
    '/etc/docker/certs.d',
  ];
  for (const parent of parents) {
    try {
      const path = join(parent, host);
      statSync(path);
      return path;
    } catch (error) {
      if (!isSystemError(error, 'ENOENT', 'ENOTDIR', 'EACCES')) throw error;
    }
  }
  return undefined;
}

function listDirectory(path: string): string[] {
  return (ifThere(() => readdirSync(path), 'ENOENT', 'EACCES') ?? []).sort();
}

function readPem(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    throw new ConfigError('unreadable', `reading certificate ${path}: ${cause.message}`, {
      cause,
      facts: { path },
    });
  }
}
