import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createSecureContext, type SecureContext } from 'node:tls';
import { isSystemError } from '../../errors.ts';
import { TransportError } from '../error.ts';

/** How connections to one server are secured. */
export interface TlsSettings {
  /** No check of the server's certificate. */
  readonly insecure: boolean;
  /** PEM texts trusted beside the system's. */
  readonly authorities: readonly string[];
  /** Shown to the registry itself, never to another origin. */
  readonly clients: readonly { readonly certificate: string; readonly key: string }[];
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Where systems keep their authorities, in the order that Go looks. */
const BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/tls/cacert.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/**
 * A TLS context that trusts the system's authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` replace them, as in Go), else
 * Node's own, and the given ones.
 * @throws TransportError `bad-option` for a certificate or key that cannot be used
 */
export async function secureContext(settings: TlsSettings, environment: Environment): Promise<SecureContext> {
  const ca = settings.insecure ? undefined : await trustedAuthorities(settings, environment);
  try {
    return createSecureContext({
      ...(ca ? { ca } : {}),
      ...(settings.clients.length
        ? {
            cert: settings.clients.map(({ certificate }) => certificate),
            key: settings.clients.map(({ key }) => key),
          }
        : {}),
    });
  } catch (cause) {
    throw new TransportError('bad-option', `unusable TLS certificate or key: ${(cause as Error).message}`, {
      cause,
      hint: 'look at the files in the certificate directory (--cert-dir, certs.d)',
    });
  }
}

/** Undefined: Node's own are right. */
async function trustedAuthorities(
  { authorities }: TlsSettings,
  environment: Environment,
): Promise<string[] | undefined> {
  const system = await systemAuthorities(environment);
  if (system) return [...system, ...authorities];
  if (authorities.length === 0) return undefined;
  const { rootCertificates } = await import('node:tls');
  return [...rootCertificates, ...authorities];
}

async function systemAuthorities(environment: Environment): Promise<string[] | undefined> {
  const { SSL_CERT_FILE: file, SSL_CERT_DIR: directories } = environment;
  if (file || directories) {
    const named = file ? [await readRequired(file)] : [];
    return [...named, ...(await readDirectories(directories))];
  }
  for (const path of BUNDLES) {
    const text = await readOptional(path);
    if (text) return [text];
  }
  return undefined;
}

async function readDirectories(list: string | undefined): Promise<string[]> {
  const texts: string[] = [];
  for (const directory of (list ?? '').split(':').filter(Boolean))
    for (const name of await readdir(directory).catch(() => [] as string[])) {
      const text = await readOptional(join(directory, name));
      if (text?.includes('-----BEGIN CERTIFICATE-----')) texts.push(text);
    }
  return texts;
}

async function readRequired(path: string): Promise<string> {
  const text = await readOptional(path);
  if (text === undefined)
    throw new TransportError('bad-option', `SSL_CERT_FILE names ${path}, which cannot be read`);
  return text;
}

async function readOptional(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isSystemError(error)) return undefined;
    throw error;
  }
}
