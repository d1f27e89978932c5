import { readdir, stat } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { isSystemError } from '../errors.ts';
import { tryParseDigest } from '../image/digest.ts';
import type { Platform } from '../image/platform.ts';
import { formatReference, type NamedReference, withSelector } from '../image/reference.ts';
import type { ImageReference, TransportContext } from './contract.ts';
import { DirectoryReference } from './dir/reference.ts';
import { DockerReference } from './docker/reference.ts';
import { listRepositoryTags } from './docker/tags.ts';
import { TransportError } from './error.ts';
import type { RegistrySelection, RepositorySelection } from './sync-config.ts';

/** One image to mirror. */
export interface SyncSource {
  readonly reference: ImageReference;
  readonly context: TransportContext;
  /** Behind the destination when scoped: `docker.io/library/app:1`, or the path below a directory. */
  readonly suffix: string;
  /** Set where a sync file renames it: `path:tag` below the destination. */
  readonly renamed?: string;
  readonly platforms?: readonly Platform[];
  /** What a sync file says of the registry, for plans; the context has it too. */
  readonly access?: RegistryAccess;
}

/** How a sync file reaches a registry; credentials are not written into plans. */
export type RegistryAccess = Pick<RegistrySelection, 'tlsVerify' | 'certificateDirectory'>;

/** The images of one repository or directory, or why they cannot be listed. */
export interface SyncGroup {
  readonly title: string;
  readonly sources: readonly SyncSource[];
  readonly failure?: unknown;
  /** Destination tags that the source has not are removed, at most `limit` of them. */
  readonly prune?: { readonly repository: NamedReference; readonly limit: number };
}

/** A registry's image or repository by name: that tag or digest, or all tags. @throws TransportError */
export async function registrySources(named: NamedReference, context: TransportContext): Promise<SyncGroup> {
  const title = formatReference(named);
  if (named.tag !== undefined || named.digest !== undefined)
    return { title, sources: [imageSource(named, context)] };
  const tags = await listRepositoryTags(named, context);
  if (tags.length === 0)
    throw new TransportError('not-found', `No images to sync found in ${JSON.stringify(title)}`);
  return { title, sources: tags.map((tag) => imageSource(withSelector(named, { tag }), context)) };
}

function imageSource(named: NamedReference, context: TransportContext): SyncSource {
  return { reference: DockerReference.of(named), context, suffix: formatReference(named) };
}

/** Every directory below `path` with an image. @throws TransportError `not-found` */
export async function directorySources(path: string, context: TransportContext): Promise<SyncGroup> {
  const found = await stat(path).catch((cause: unknown) => {
    if (!isSystemError(cause, 'ENOENT', 'ENOTDIR')) throw cause;
    throw new TransportError(
      'not-found',
      `Invalid source directory specified: stat ${path}: no such file or directory`,
      {
        cause,
      },
    );
  });
  if (!found.isDirectory())
    throw new TransportError('not-found', `Invalid source directory specified: ${path}`);
  const directories = await imageDirectories(path);
  if (directories.length === 0)
    throw new TransportError('not-found', `No images to sync found in ${JSON.stringify(path)}`);
  return {
    title: path,
    sources: directories.map((directory) => ({
      reference: new DirectoryReference(directory, '/'),
      context,
      suffix: relative(path, directory) || basename(path),
    })),
  };
}

async function imageDirectories(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true });
  if (entries.some((entry) => entry.isFile() && entry.name === 'manifest.json')) return [path];
  const below = entries
    .filter((entry) => entry.isDirectory())
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((entry) => imageDirectories(join(path, entry.name)));
  return (await Promise.all(below)).flat();
}

/** The images of a sync file's registry; a repository that cannot be listed is a group with its failure. */
export async function configuredSources(
  registry: RegistrySelection,
  base: TransportContext,
): Promise<readonly SyncGroup[]> {
  const context = contextFor(registry, base);
  const access = accessOf(registry);
  const inRange = registry.repositories.some(({ semver }) => semver !== undefined)
    ? await versionRanges()
    : () => true;
  return Promise.all(
    registry.repositories.map(async (selection) => {
      const title = formatReference(selection.repository);
      try {
        const group = await selectFrom(selection, context, registry.pruneLimit, inRange);
        return access ? { ...group, sources: group.sources.map((source) => ({ ...source, access })) } : group;
      } catch (failure) {
        context.signal?.throwIfAborted();
        return { title, sources: [], failure };
      }
    }),
  );
}

async function versionRanges(): Promise<(tag: string, range: string) => boolean> {
  const { satisfies, valid } = await import('semver');
  return (tag, range) => {
    const version = valid(tag, { loose: true }) ?? valid(padded(tag), { loose: true });
    return version !== null && satisfies(version, range);
  };
}

/** Tags such as `3` and `v1.2` count as versions with zeros. */
function padded(tag: string): string {
  const match = /^v?(\d+)(?:\.(\d+))?([-+].*)?$/.exec(tag);
  return match ? `${match[1]}.${match[2] ?? 0}.0${match[3] ?? ''}` : tag;
}

async function selectFrom(
  selection: RepositorySelection,
  context: TransportContext,
  pruneLimit: number,
  inRange: (tag: string, range: string) => boolean,
): Promise<SyncGroup> {
  const { repository, references, matches, semver, excludes, rename, platforms } = selection;
  const all = references ?? (await listRepositoryTags(repository, context));
  const chosen = all.filter(
    (text) =>
      (matches === undefined || matches.test(text)) &&
      (semver === undefined || inRange(text, semver)) &&
      !excludes.some((pattern) => pattern.test(text)),
  );
  if (chosen.length === 0)
    throw new TransportError(
      'not-found',
      `No images to sync found in ${JSON.stringify(formatReference(repository))}`,
      {
        hint: references ? 'all of its list is excluded' : `none of its ${all.length} tags is selected`,
      },
    );
  return {
    title: formatReference(repository),
    ...(selection.prune ? { prune: { repository, limit: pruneLimit } } : {}),
    sources: chosen.map((text) => {
      const digest = tryParseDigest(text);
      const named = withSelector(repository, digest ? { digest } : { tag: text });
      return {
        ...imageSource(named, context),
        ...(rename === undefined ? {} : { renamed: renamed(rename, repository, text) }),
        ...(platforms ? { platforms } : {}),
      };
    }),
  };
}

function renamed(template: string, { path }: NamedReference, tag: string): string {
  return template.replace(/\{(path|name|tag)\}/g, (_all, key: string) =>
    key === 'tag' ? tag.replace(':', '-') : key === 'path' ? path : basename(path),
  );
}

function accessOf({ tlsVerify, certificateDirectory }: RegistrySelection): RegistryAccess | undefined {
  if (tlsVerify === undefined && certificateDirectory === undefined) return undefined;
  return {
    ...(tlsVerify === undefined ? {} : { tlsVerify }),
    ...(certificateDirectory === undefined ? {} : { certificateDirectory }),
  };
}

/** The surroundings of a registry as a sync file or a plan describes it. */
export function contextFor(
  registry: RegistryAccess & Pick<RegistrySelection, 'credentials'>,
  base: TransportContext,
): TransportContext {
  const { credentials, tlsVerify, certificateDirectory } = registry;
  if (!base.docker) return base;
  return {
    ...base,
    docker: {
      ...base.docker,
      ...(credentials ? { credentials } : {}),
      ...(tlsVerify === undefined ? {} : { tlsVerify }),
      ...(certificateDirectory ? { certificateDirectory } : {}),
    },
  };
}
