import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { isSystemError } from '../errors.ts';
import type { Digest } from '../image/digest.ts';
import { type Manifest, manifestDigest, parseManifest } from '../image/manifest.ts';
import { choosePlatform, formatPlatform } from '../image/platform.ts';
import {
  formatReference,
  type NamedReference,
  parseReference,
  repositoryOf,
  withSelector,
} from '../image/reference.ts';
import type { ImageReference, ImageSource, TransportContext } from './contract.ts';
import { strippedDigest } from './copy-index.ts';
import { DirectoryReference } from './dir/reference.ts';
import { digestInPlaces } from './docker/places.ts';
import { DockerReference } from './docker/reference.ts';
import { openRepository } from './docker/repository.ts';
import { listRepositoryTags } from './docker/tags.ts';
import { TransportError } from './error.ts';
import { Limit } from './limit.ts';
import { readManifest } from './read-manifest.ts';
import { formatImageReference } from './references.ts';
import type { SyncGroup, SyncSource } from './sync-sources.ts';

/** Where images go and how they are named there. */
export interface SyncTarget {
  readonly transport: 'docker' | 'dir';
  /** A registry with or without a path, or a directory. */
  readonly base: string;
  readonly context: TransportContext;
  /** Keep the whole source name below the base, not only its last part. */
  readonly scoped: boolean;
  readonly appendSuffix: string;
  /** Whole indexes are copied, so that their digests can be compared. */
  readonly all: boolean;
}

/** One image of a plan. */
export interface SyncItem {
  readonly source: SyncSource;
  readonly destination: ImageReference;
  /** `create`: nothing there; `move`: another image there; `unchanged`: the same one. */
  readonly action: 'create' | 'move' | 'unchanged';
  /** Of the source's top-level manifest. */
  readonly digest?: Digest;
  /** Of config and layers, where the manifest was read. */
  readonly bytes?: number;
  /** Opens the source with the manifest that planning read; absent: it has to be read again. */
  readonly reopen?: ImageReference['openSource'];
}

/** What a sync would do. */
export interface SyncPlan {
  readonly items: readonly SyncItem[];
  /** Tags of the destination to remove. */
  readonly prunes: readonly NamedReference[];
  readonly failures: readonly { readonly title: string; readonly error: unknown }[];
  /** Requests for manifests and tag lists that planning made. */
  readonly requests: number;
}

const PARALLEL = 8;
/** Manifests of all items together that a plan holds on to. */
const KEPT_BYTES = 32 * 1024 * 1024;

/**
 * Finds out what differs. Tags that the destination lacks are known by its tag list; of the others the digests are
 * compared, by HEAD alone.
 */
export async function planSync(
  groups: readonly SyncGroup[],
  target: SyncTarget,
  signal?: AbortSignal,
): Promise<SyncPlan> {
  const planner = new Planner(target);
  const failures: { title: string; error: unknown }[] = [];
  const items: SyncItem[] = [];
  const limit = new Limit(PARALLEL);
  const plan = async (source: SyncSource): Promise<void> => {
    try {
      items.push(await planner.item(source));
    } catch (error) {
      signal?.throwIfAborted();
      failures.push({ title: formatImageReference(source.reference), error });
    }
  };
  for (const { failure, title } of groups)
    if (failure !== undefined) failures.push({ title, error: failure });
  const sources = groups.flatMap((group) => group.sources);
  await Promise.all(sources.map((source) => limit.run(() => plan(source), signal)));
  const order = new Map(sources.map((source, at) => [source, at]));
  items.sort((a, b) => (order.get(a.source) as number) - (order.get(b.source) as number));
  return { items, failures, prunes: await planner.prunes(groups, items), requests: planner.requests };
}

/** The part of a plan that worker `index` (from 1) of `count` does; stable for each destination. */
export function shardPlan(plan: SyncPlan, index: number, count: number): SyncPlan {
  const mine = (name: string) =>
    createHash('sha256').update(name).digest().readUInt32BE(0) % count === index - 1;
  return {
    ...plan,
    items: plan.items.filter(({ destination }) => mine(formatImageReference(destination))),
    prunes: plan.prunes.filter((name) => mine(`docker://${formatReference(name)}`)),
  };
}

/** Where a source goes (skopeo sync, with its joining of names). @throws TransportError, ImageError `bad-reference` */
export function destinationOf(source: SyncSource, target: SyncTarget): ImageReference {
  const suffix = source.renamed ?? (target.scoped ? source.suffix : posix.basename(source.suffix));
  const name = posix.join(target.base, suffix) + target.appendSuffix;
  if (target.transport === 'dir')
    return new DirectoryReference(join(target.base, suffix) + target.appendSuffix, '/');
  const named = parseReference(name);
  const selected =
    named.tag === undefined && named.digest === undefined ? { ...named, tag: 'latest' } : named;
  return DockerReference.of(selected);
}

class Planner {
  readonly #target: SyncTarget;
  /** Undefined: the registry does not tell. */
  readonly #tags = new Map<string, Promise<ReadonlySet<string> | undefined>>();
  requests = 0;
  #keptBytes = 0;

  constructor(target: SyncTarget) {
    this.#target = target;
  }

  async item(source: SyncSource): Promise<SyncItem> {
    const destination = destinationOf(source, this.#target);
    if (this.#target.transport === 'dir')
      return this.#directoryItem(source, destination as DirectoryReference);
    const there = await this.#digestAt(destination);
    if (there === undefined) return this.#newItem(source, destination);
    const digest = await this.#sourceDigest(source);
    if (digest === there) return { source, destination, action: 'unchanged', digest };
    const item = await this.#newItem(source, destination);
    return { ...item, action: item.chosen === there ? 'unchanged' : 'move' };
  }

  /** Tags to remove: those of the destination's repositories that no image of the source has. */
  async prunes(groups: readonly SyncGroup[], items: readonly SyncItem[]): Promise<readonly NamedReference[]> {
    const doomed: NamedReference[] = [];
    for (const { prune, sources, failure, title } of groups) {
      if (!prune || failure !== undefined || this.#target.transport !== 'docker') continue;
      const kept = items
        .filter((item) => sources.includes(item.source))
        .map((item) => item.destination.named);
      if (kept.length !== sources.length) continue;
      const stale = await this.#stale(kept as readonly NamedReference[]);
      if (stale.length > prune.limit)
        throw new TransportError(
          'bad-option',
          `${title}: pruning would remove ${stale.length} tags, more than the limit of ${prune.limit}`,
          { hint: 'look at the plan, and raise prune-limit if it is right' },
        );
      doomed.push(...stale);
    }
    return doomed;
  }

  async #stale(kept: readonly NamedReference[]): Promise<NamedReference[]> {
    const names = new Set(kept.map(formatReference));
    const stale: NamedReference[] = [];
    for (const repository of new Map(kept.map((name) => [repositoryOf(name), name])).values())
      for (const tag of (await this.#tagsOf(repository)) ?? []) {
        const name = withSelector(repository, { tag });
        // Signatures and referrers of kept images stand under tags of their own.
        if (!names.has(formatReference(name)) && !/^sha\d+-[0-9a-f]+(?:\.\w+)?$/.test(tag)) stale.push(name);
      }
    return stale;
  }

  async #newItem(source: SyncSource, destination: ImageReference): Promise<SyncItem & { chosen: Digest }> {
    await using opened = await source.reference.openSource(source.context);
    this.requests += 1;
    const { bytes, mediaType } = await readManifest(opened);
    const manifest = parseManifest(bytes, mediaType);
    const digest = manifestDigest(bytes);
    const size = sizeOf(manifest);
    const chosen = this.#chosen(source, manifest) ?? digest;
    return {
      source,
      destination,
      action: 'create',
      digest,
      chosen,
      ...(size === undefined ? {} : { bytes: size }),
      ...this.#kept(opened, bytes.length),
    };
  }

  #kept(source: ImageSource, bytes: number): Pick<SyncItem, 'reopen'> {
    const again = source.again?.bind(source);
    if (!again || this.#keptBytes + bytes > KEPT_BYTES) return {};
    this.#keptBytes += bytes;
    return { reopen: again };
  }

  /** What the destination will have, where that is not the source's top level. */
  #chosen({ platforms, context }: SyncSource, manifest: Manifest): Digest | undefined {
    if (manifest.kind !== 'index') return undefined;
    if (platforms) return strippedDigest(manifest, platforms);
    return this.#target.all ? undefined : choosePlatform(manifest.manifests, context.platform)?.digest;
  }

  async #directoryItem(source: SyncSource, destination: DirectoryReference): Promise<SyncItem> {
    const names = await readdir(destination.path).catch((error: unknown): string[] => {
      if (isSystemError(error, 'ENOENT')) return [];
      throw error;
    });
    if (names.length === 0 || !names.includes('manifest.json'))
      return names.length === 0 || names.includes('.partial')
        ? this.#newItem(source, destination)
        : refuse(destination);
    await using opened = await destination.openSource(this.#target.context);
    const there = manifestDigest((await opened.getManifest()).bytes);
    const item = await this.#newItem(source, destination);
    return item.digest === there || item.chosen === there
      ? { ...item, action: 'unchanged' }
      : refuse(destination);
  }

  async #digestAt(destination: ImageReference): Promise<Digest | undefined> {
    const named = destination.named as NamedReference;
    const { digest, tag } = named;
    const tags = tag === undefined ? undefined : await this.#tagsOf(named);
    if (tag !== undefined && tags && !tags.has(tag)) return undefined;
    const repository = await openRepository(named, this.#target.context, 'pull');
    this.requests += 1;
    return repository.manifestDigest(digest ?? (tag as string));
  }

  async #sourceDigest({ reference, context }: SyncSource): Promise<Digest | undefined> {
    const { named } = reference;
    if (reference.transport !== 'docker' || !named) {
      await using opened = await reference.openSource(context);
      return manifestDigest((await opened.getManifest()).bytes);
    }
    if (named.digest) return named.digest;
    this.requests += 1;
    return digestInPlaces(named, context);
  }

  #tagsOf(named: NamedReference): Promise<ReadonlySet<string> | undefined> {
    const key = repositoryOf(named);
    let tags = this.#tags.get(key);
    if (!tags) {
      this.requests += 1;
      tags = listRepositoryTags(named, this.#target.context).then(
        (list) => new Set(list),
        (error: unknown) => {
          if (!(error instanceof TransportError)) throw error;
          return error.code === 'not-found' ? new Set<string>() : undefined;
        },
      );
      this.#tags.set(key, tags);
    }
    return tags;
  }
}

function refuse(destination: DirectoryReference): never {
  throw new TransportError(
    'exists',
    `Refusing to overwrite destination directory ${JSON.stringify(destination.path)}`,
    {
      hint: 'it holds another image: remove it, or synchronize to a new directory',
    },
  );
}

function sizeOf(manifest: Manifest): number | undefined {
  if (manifest.kind !== 'image') return undefined;
  return [manifest.config, ...manifest.layers].reduce((total, { size }) => total + size, 0);
}

/** A plan as JSON, which sync-apply.ts reads back. */
export function planToJson({ items, prunes, requests, failures }: SyncPlan): object {
  return {
    version: 1,
    items: items.map(({ source, destination, action, digest, bytes }) => ({
      action,
      source: formatImageReference(source.reference),
      destination: formatImageReference(destination),
      digest,
      bytes,
      ...(source.platforms ? { platforms: source.platforms.map(formatPlatform) } : {}),
      ...(source.access ? { access: source.access } : {}),
    })),
    prunes: prunes.map((name) => `docker://${formatReference(name)}`),
    bytes: items.reduce((total, { action, bytes }) => total + (action === 'unchanged' ? 0 : (bytes ?? 0)), 0),
    requests,
    failures: failures.map(({ title, error }) => ({
      title,
      message: error instanceof Error ? error.message : String(error),
    })),
  };
}
