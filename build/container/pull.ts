import { setTimeout as sleep } from 'node:timers/promises';
import { readRegistries } from '../../config/registries.ts';
import type { RegistriesConfig } from '../../config/registries-types.ts';
import { isShortName, type ResolvedName, resolveShortName } from '../../config/short-names.ts';
import { SlipwayError } from '../../errors.ts';
import { type Digest, digestOf } from '../../image/digest.ts';
import { parseManifest } from '../../image/manifest.ts';
import { choosePlatform, type Platform } from '../../image/platform.ts';
import { formatReference, type NamedReference, parseReference } from '../../image/reference.ts';
import type { ImageRecord, Store } from '../../store/storage/contract.ts';
import type { ImageReference, StorageLocation, TransportContext } from '../../transport/contract.ts';
import { TRANSPORTS } from '../../transport/contract.ts';
import type { CopyOptions } from '../../transport/copy-options.ts';
import { parseImageReference } from '../../transport/references.ts';
import { BuildError } from '../error.ts';
import type { BuildSurroundings, PullPolicy } from './contract.ts';
import {
  type FoundImage,
  findImage,
  imageNotKnown,
  type ShortNames,
  withoutTagBesideDigest,
} from './find-image.ts';
import { isOfOtherPlatform, otherPlatformStored } from './other-platform.ts';
import { allowedSurroundings } from './registry-sources.ts';

/** Options of {@link pullImage}. */
export interface PullOptions {
  /** Default `missing`. */
  readonly pullPolicy?: PullPolicy;
  /** Tries after the first; default 3. */
  readonly retries?: number;
  /** Default 2000. */
  readonly retryDelayMs?: number;
  readonly removeSignatures?: boolean;
  /** The platform was asked for (`--platform`, `--arch`, …): a local image may only look right. */
  readonly customPlatform?: boolean;
  /** This machine's platform: with it a local image of another platform than the one asked for is not used. */
  readonly hostPlatform?: Platform;
  /** `KEY[:PASSWORD]`, see transport/encrypt. */
  readonly decryptionKeys?: readonly string[];
  /** Where copies of blobs are kept and looked for (`--blob-cache`), absolute. */
  readonly blobCacheDirectory?: string;
  /** Where `Trying to pull …` goes. */
  readonly onStatus?: (text: string) => void;
  /** Told where the image is not for the platform of the surroundings; absent: not looked at. */
  readonly onOtherPlatform?: (text: string) => void;
}

/**
 * The image that a name means, pulled as the policy says: local storage first, then the registries that the name may
 * stand for, or the transport that it names.
 * @throws BuildError `pull-failed`, `policy-denied`
 */
export async function pullImage(
  surroundings: BuildSurroundings,
  name: string,
  options: PullOptions = {},
): Promise<ImageRecord> {
  const record = await pullByName(surroundings, name, options);
  if (!options.onOtherPlatform) return record;
  const text = await otherPlatformStored(surroundings.store, record, surroundings.platform);
  if (text) options.onOtherPlatform(text);
  return record;
}

async function pullByName(
  surroundings: BuildSurroundings,
  name: string,
  options: PullOptions,
): Promise<ImageRecord> {
  await surroundings.policy.prepare?.();
  const other = await transportReference(surroundings, name);
  if (other && other.transport !== 'docker') return copyFromTransport(surroundings, other, options);
  const plain = withoutTagBesideDigest(other?.named ? formatReference(other.named) : name);
  if (plain.startsWith('sha256:') || /^[0-9a-f]{64}$/.test(plain))
    return imageOfId(surroundings, plain, options);
  return pullFromRegistry(surroundings, plain, options);
}

/** The registries.conf that flags and environment choose. */
export function registriesOf(surroundings: BuildSurroundings): Promise<RegistriesConfig> {
  const {
    environment,
    registriesFile: file,
    registriesDropInDirectory: dropInDirectory,
  } = surroundings.docker;
  return readRegistries({ environment, file, dropInDirectory });
}

/** What a name stands for in registries, by the registries.conf and the remembered short names of the surroundings. */
export async function resolveName(surroundings: BuildSurroundings, name: string): Promise<ResolvedName> {
  const { environment, shortNameAliasFile: aliasFile } = surroundings.docker;
  return await resolveShortName(name, {
    registries: await registriesOf(surroundings),
    environment,
    aliasFile,
  });
}

/** Short names as {@link findImage} wants them. */
export function shortNamesOf(registries: RegistriesConfig): ShortNames {
  return {
    searchRegistries: registries.searchRegistries,
    alias: (repository) => {
      const alias = registries.aliases.get(repository);
      return alias && parseReference(alias.value);
    },
  };
}

const NO_SHORT_NAMES: ShortNames = { searchRegistries: [], alias: () => undefined };

/** Finds a local image by the rules of the surroundings' registries.conf. */
export async function findLocalImage(
  surroundings: BuildSurroundings,
  name: string,
  options: { readonly forPlatform?: boolean } = {},
) {
  const plain = name.replace(/^containers-storage:/, '');
  const shortNames = isShortName(plain) ? shortNamesOf(await registriesOf(surroundings)) : NO_SHORT_NAMES;
  return findImage(surroundings.store, plain, {
    shortNames,
    platform: options.forPlatform === false ? undefined : surroundings.platform,
  });
}

/** What a name with a transport in front means; undefined for a plain name. */
export async function transportReference(
  { workingDirectory }: BuildSurroundings,
  name: string,
): Promise<ImageReference | undefined> {
  const transport = /^([a-z-]+):/.exec(name)?.[1];
  if (!transport || !(TRANSPORTS as readonly string[]).includes(transport)) return undefined;
  if (transport === 'docker' && !name.startsWith('docker://')) return undefined;
  return parseImageReference(name, { workingDirectory });
}

async function imageOfId(
  surroundings: BuildSurroundings,
  name: string,
  options: PullOptions,
): Promise<ImageRecord> {
  if (options.pullPolicy === 'always') throw alwaysById(name);
  const found = await findLocalImage(surroundings, name);
  if (!found) throw imageNotKnown(name);
  return found.record;
}

function alwaysById(name: string): BuildError {
  return new BuildError(
    'pull-failed',
    `pull policy is always but image has been referred to by ID (${name})`,
  );
}

async function pullFromRegistry(
  surroundings: BuildSurroundings,
  given: string,
  options: PullOptions,
): Promise<ImageRecord> {
  const local = await usableLocalImage(surroundings, given, options);
  const policy = options.pullPolicy ?? 'missing';
  if (policy === 'never') {
    if (local) return local.record;
    throw imageNotKnown(given);
  }
  const effective = options.customPlatform && policy !== 'always' ? 'ifnewer' : policy;
  if (effective === 'missing' && local) return local.record;
  if (local?.record.id.startsWith(given)) {
    if (effective === 'always') throw alwaysById(given);
    return local.record;
  }
  const name = local && !options.customPlatform ? local.resolvedName : given;
  try {
    const resolved = await resolveName(surroundings, name);
    return await tryCandidates(surroundings, given, resolved, effective, local?.record, options);
  } catch (error) {
    if (local && effective === 'ifnewer' && error instanceof SlipwayError) return local.record;
    throw error;
  }
}

async function usableLocalImage(
  surroundings: BuildSurroundings,
  given: string,
  { customPlatform, hostPlatform: host }: PullOptions,
): Promise<FoundImage | undefined> {
  const found = await findLocalImage(surroundings, given);
  if (!found || !customPlatform || !host) return found;
  const { store, platform } = surroundings;
  return (await isOfOtherPlatform(store, found.record, { platform, host })) ? undefined : found;
}

async function tryCandidates(
  surroundings: BuildSurroundings,
  given: string,
  { candidates, description }: ResolvedName,
  policy: PullPolicy,
  local: ImageRecord | undefined,
  options: PullOptions,
): Promise<ImageRecord> {
  const failures: unknown[] = [];
  let described = description === '';
  for (const candidate of candidates) {
    surroundings.signal?.throwIfAborted();
    try {
      if (policy === 'ifnewer' && local && !(await isNewer(surroundings, candidate, local))) continue;
      if (!described) options.onStatus?.(description);
      described = true;
      options.onStatus?.(`Trying to pull ${formatReference(candidate)}...`);
      return await pullCandidate(surroundings, candidate, options);
    } catch (error) {
      if (surroundings.signal?.aborted) throw error;
      failures.push(error);
    }
  }
  if (failures.length === 0 && local) return local;
  throw pullFailure(given, candidates, failures);
}

/** One failure keeps its own text; several are told together. */
function pullFailure(
  given: string,
  candidates: readonly NamedReference[],
  failures: readonly unknown[],
): BuildError {
  const texts = failures.map((failure) => (failure instanceof Error ? failure.message : String(failure)));
  const cause = failures[0];
  const details = {
    cause,
    hint: cause instanceof SlipwayError ? cause.hint : undefined,
    retryable: failures.some((failure) => failure instanceof SlipwayError && failure.retryable),
  };
  if (texts.length <= 1)
    return new BuildError('pull-failed', texts[0] ?? `no image pulled for ${given}`, details);
  const lines = candidates.length > 1 ? `${texts.length} errors occurred while pulling: ` : '';
  return new BuildError('pull-failed', `${lines}${texts.map((text) => `* ${text}`).join('; ')}`, details);
}

async function isNewer(
  surroundings: BuildSurroundings,
  candidate: NamedReference,
  local: ImageRecord,
): Promise<boolean> {
  const reference = await parseImageReference(`docker://${formatReference(candidate)}`, surroundings);
  const context = contextOf(surroundings);
  await using source = await reference.openSource(context);
  const { bytes } = await source.getManifest();
  // Of a list the instance counts: a local image of another platform may come from the same list.
  const wanted = instanceOf(bytes, surroundings.platform) ?? digestOf(bytes);
  const known = [local.digest, ...Object.values(local.bigDataDigests)];
  return !known.includes(wanted);
}

/** The child of an index for a platform; undefined for a single manifest. */
function instanceOf(bytes: Uint8Array, platform: Platform): Digest | undefined {
  const manifest = parseManifest(bytes);
  return manifest.kind === 'index' ? choosePlatform(manifest.manifests, platform)?.digest : undefined;
}

async function pullCandidate(
  surroundings: BuildSurroundings,
  candidate: NamedReference,
  options: PullOptions,
): Promise<ImageRecord> {
  const name = formatReference(candidate);
  const source = await parseImageReference(`docker://${name}`, surroundings);
  return copyIntoStore(surroundings, source, name, options);
}

async function copyFromTransport(
  surroundings: BuildSurroundings,
  source: ImageReference,
  options: PullOptions,
): Promise<ImageRecord> {
  if (source.transport === 'containers-storage') {
    const name = source.named ? formatReference(source.named) : source.within.replace(/^\[[^\]]*\]@?/, '');
    const found = await findLocalImage(surroundings, name);
    if (!found) throw imageNotKnown(name);
    return found.record;
  }
  const { storageName } = await import('./storage-name.ts');
  return copyIntoStore(surroundings, source, await storageName(source, contextOf(surroundings)), options);
}

async function copyIntoStore(
  given: BuildSurroundings,
  source: ImageReference,
  name: string,
  options: PullOptions,
): Promise<ImageRecord> {
  const surroundings = allowedSurroundings(given, 'pull from', source);
  const { copyImage } = await import('../../transport/copy.ts');
  const stored = await parseImageReference(`containers-storage:${name}`, surroundings);
  const destination = await withBlobs(stored, options.blobCacheDirectory);
  const context = contextOf(surroundings);
  const decryptor = await decryptorOf(surroundings, options.decryptionKeys ?? []);
  const retries = options.retries ?? 3;
  for (let attempt = 0; ; attempt += 1) {
    try {
      await copyImage(surroundings.policy, source, destination, {
        source: context,
        destination: context,
        removeSignatures: options.removeSignatures,
        decryptor,
        onProgress: surroundings.onProgress,
        signal: surroundings.signal,
      });
      break;
    } catch (error) {
      const again = error instanceof SlipwayError && error.retryable && attempt < retries;
      if (!again || surroundings.signal?.aborted) throw error;
      await sleep(options.retryDelayMs ?? 2000, undefined, { signal: surroundings.signal });
    }
  }
  const record = await surroundings.store.images.get(name.replace(/^@/, ''));
  if (!record)
    throw new BuildError('pull-failed', `pulling ${name}: the image is gone from local storage again`);
  return record;
}

async function withBlobs(stored: ImageReference, directory: string | undefined): Promise<ImageReference> {
  if (!directory) return stored;
  const { byWayOfBlobDirectory } = await import('../../transport/blob-directory/reference.ts');
  return byWayOfBlobDirectory(stored, directory);
}

async function decryptorOf(
  { workingDirectory, environment }: BuildSurroundings,
  keys: readonly string[],
): Promise<CopyOptions['decryptor']> {
  if (keys.length === 0) return undefined;
  const { openDecryptor } = await import('../../transport/encrypt/keys.ts');
  return openDecryptor(keys, { workingDirectory, environment });
}

/** What transports are given for reading and writing in these surroundings. */
export function contextOf(surroundings: BuildSurroundings): TransportContext {
  const { platform, temporaryDirectory, signal, onWarning, docker, store } = surroundings;
  return {
    platform,
    temporaryDirectory,
    signal,
    onWarning,
    docker,
    openStore: (location) => storeAt(store, location),
  };
}

/** The store at hand, unless a reference names another one. */
async function storeAt(store: Store, location: StorageLocation | undefined): Promise<Store> {
  if (!location?.graphRoot || location.graphRoot === store.graphRoot) return store;
  const { openStore } = await import('../../store/storage/open.ts');
  return openStore({
    graphRoot: location.graphRoot,
    runRoot: location.runRoot ?? store.runRoot,
    driver: location.driver,
    driverOptions: location.options,
    rootless: store.rootless,
  });
}
