import { type AuthOptions, findCredentials } from '../../config/auth.ts';
import { requireAuthFile } from '../../config/auth-file.ts';
import { readCertificates } from '../../config/certs.ts';
import type { Credentials } from '../../config/credential-helper.ts';
import { homeOf, uidOf } from '../../config/host.ts';
import { readRegistries } from '../../config/registries.ts';
import {
  defaultLookaside,
  lookasideFor,
  type PolicyScopes,
  readSignatureStorage,
  type SignatureStorage,
  usesSigstoreAttachments,
} from '../../config/registries-d.ts';
import { findRegistry } from '../../config/registries-match.ts';
import type { RegistriesConfig, RegistryRule } from '../../config/registries-types.ts';
import type { NamedReference } from '../../image/reference.ts';
import { repositoryOf } from '../../image/reference.ts';
import type { DockerAccess, TransportContext } from '../contract.ts';
import { TransportError } from '../error.ts';
import { RegistryClient } from './client.ts';
import type { RetryPolicy } from './retry.ts';
import type { TlsSettings } from './tls.ts';

/** Helpers are programs, and short-lived credentials get renewed: neither every image asks, nor only the first. */
const CREDENTIALS_MS = 10_000;

/**
 * What one {@link DockerAccess} has read and opened so far: configuration files once, and one client for each registry,
 * so that many images share connections, tokens and the answer of the ping.
 */
export class DockerSession {
  readonly access: DockerAccess;
  readonly #clients = new Map<string, Promise<RegistryClient>>();
  #registries: Promise<RegistriesConfig> | undefined;
  #signatures: Promise<SignatureStorage> | undefined;
  #authChecked: Promise<void> | undefined;
  readonly #credentials = new Map<string, { readonly found: Credentials | undefined; readonly ms: number }>();

  constructor(access: DockerAccess) {
    this.access = access;
  }

  registries(): Promise<RegistriesConfig> {
    const { environment, registriesFile, registriesDropInDirectory } = this.access;
    this.#registries ??= readRegistries({
      environment,
      ...(registriesFile ? { file: registriesFile } : {}),
      ...(registriesDropInDirectory ? { dropInDirectory: registriesDropInDirectory } : {}),
    });
    return this.#registries;
  }

  /** @throws TransportError `blocked`; what reading the configuration throws */
  async client(
    name: Pick<NamedReference, 'domain' | 'path'>,
    options: {
      readonly insecure?: boolean;
      readonly onWarning?: TransportContext['onWarning'];
      readonly signal?: AbortSignal;
    } = {},
  ): Promise<RegistryClient> {
    const repository = name.path === '' ? name.domain : repositoryOf(name);
    const registries = await this.registries();
    const rule = findRegistry(registries, repository);
    this.refuseBlocked(rule, registries);
    const insecure =
      this.access.tlsVerify === undefined
        ? (options.insecure ?? rule?.insecure ?? false)
        : !this.access.tlsVerify;
    const key = `${name.domain} ${insecure}`;
    let client = this.#clients.get(key);
    if (!client) {
      client = this.#open(name.domain, insecure, options.onWarning);
      this.#clients.set(key, client);
      client.catch(() => this.#clients.delete(key));
    }
    return client;
  }

  /** @throws TransportError `blocked` */
  refuseBlocked(rule: RegistryRule | undefined, { sources }: RegistriesConfig): void {
    if (rule?.blocked)
      throw new TransportError(
        'blocked',
        `registry ${rule.prefix} is blocked in one of ${sources.join(', ')}`,
      );
  }

  async #open(
    domain: string,
    insecure: boolean,
    onWarning: TransportContext['onWarning'],
  ): Promise<RegistryClient> {
    const { access } = this;
    const tls = async (host: string): Promise<TlsSettings> => {
      const certificates = await readCertificates(host, {
        environment: access.environment,
        ...(access.certificateDirectory ? { directory: access.certificateDirectory } : {}),
        ...(access.certsDirectories ? { parents: access.certsDirectories } : {}),
      });
      return { insecure, ...certificates };
    };
    return new RegistryClient({
      domain,
      tls: await tls(domain),
      environment: access.environment,
      stallTimeoutMs: access.stallTimeoutMs ?? 60_000,
      retry: retryPolicy(access),
      userAgent: access.userAgent ?? 'slipway',
      ...(access.bearerToken ? { bearerToken: access.bearerToken } : {}),
      ...(onWarning ? { onWarning } : {}),
    });
  }

  /** The credentials for a repository, or those that the command line gave. */
  async credentials(
    name: Pick<NamedReference, 'domain' | 'path'>,
    signal?: AbortSignal,
  ): Promise<Credentials | undefined> {
    const { access } = this;
    if (access.credentials === 'none') return undefined;
    if (access.credentials) return access.credentials;
    const key = name.path === '' ? name.domain : repositoryOf(name);
    const known = this.#credentials.get(key);
    if (known && Date.now() - known.ms < CREDENTIALS_MS) return known.found;
    const options = await this.authOptions(signal);
    this.#authChecked ??= requireAuthFile(options);
    await this.#authChecked;
    const found = await findCredentials(key, options);
    this.#credentials.set(key, { found, ms: Date.now() });
    return found;
  }

  async authOptions(signal?: AbortSignal): Promise<AuthOptions> {
    const { environment, authFile, dockerConfigFile } = this.access;
    const { credentialHelpers } = await this.registries();
    return {
      environment,
      helpers: credentialHelpers,
      ...(authFile ? { authFile } : {}),
      ...(dockerConfigFile ? { dockerConfigFile } : {}),
      ...(signal ? { signal } : {}),
    };
  }

  /** Where the signatures of an image are. */
  async signaturePlaces(
    scopes: PolicyScopes,
    access: 'read' | 'write',
  ): Promise<{ readonly lookaside: string; readonly attachments: boolean }> {
    const host = { environment: this.access.environment };
    this.#signatures ??= readSignatureStorage({
      home: homeOf(host),
      ...(this.access.registriesDirectory ? { directory: this.access.registriesDirectory } : {}),
    });
    const storage = await this.#signatures;
    return {
      lookaside:
        lookasideFor(storage, scopes, access) ??
        defaultLookaside({ root: uidOf(host) === 0, home: homeOf(host) }),
      attachments: usesSigstoreAttachments(storage, scopes),
    };
  }
}

/** How often and how soon single requests are repeated. */
export function retryPolicy(access: DockerAccess | undefined): RetryPolicy {
  return { retries: access?.requestRetries ?? 3, delayMs: access?.retryDelayMs ?? 500 };
}

const sessions = new WeakMap<DockerAccess, DockerSession>();
const ANONYMOUS: DockerAccess = { environment: {} };

/** The session of a context's access; contexts that share the access object share it. */
export function sessionOf(context: Pick<TransportContext, 'docker'>): DockerSession {
  const access = context.docker ?? ANONYMOUS;
  let session = sessions.get(access);
  if (!session) {
    session = new DockerSession(access);
    sessions.set(access, session);
  }
  return session;
}
