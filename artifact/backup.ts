import { mkdtemp, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { NamedReference } from '../image/reference.ts';
import { openArchiveOutput } from '../transport/archive/output.ts';
import { packDirectory } from '../transport/archive/pack-directory.ts';
import { TarWriter } from '../transport/archive/tar-writer.ts';
import type { AdmissionPolicy, ImageReference, OnProgress, TransportContext } from '../transport/contract.ts';
import { copyImage } from '../transport/copy.ts';
import type { CopyOptions, CopyResult } from '../transport/copy-options.ts';
import { DockerReference } from '../transport/docker/reference.ts';
import { listRepositoryTags } from '../transport/docker/tags.ts';
import { LayoutReference } from '../transport/oci/reference.ts';
import { LayoutArchiveReference } from '../transport/oci-archive/reference.ts';
import { listTags } from '../transport/tags.ts';
import { ArtifactError } from './error.ts';

/** Options of {@link backUpRepository} and {@link restoreRepository}. */
export interface BackupOptions {
  readonly registry: TransportContext;
  /** Tags to move; absent: all. */
  readonly tags?: readonly string[];
  /** Take what refers to the artifacts along. */
  readonly referrers?: boolean;
  /** The result is undefined where nothing was copied but would have been. */
  readonly onTag?: (tag: string, result: CopyResult | undefined) => void;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/**
 * Saves tags of a repository in an OCI layout, as `oras backup`: a directory, or a tar archive where `path` ends in
 * `.tar`, which appears when it is whole. Digests stay.
 * @throws ArtifactError `not-an-artifact` for a repository without tags; TransportError
 */
export async function backUpRepository(
  policy: AdmissionPolicy,
  repository: NamedReference,
  path: string,
  options: BackupOptions,
): Promise<readonly string[]> {
  const tags = options.tags ?? (await listRepositoryTags(repository, options.registry));
  if (tags.length === 0)
    throw new ArtifactError('not-an-artifact', `${repository.domain}/${repository.path} has no tags`);
  if (!path.endsWith('.tar')) return await backUpInto(policy, repository, path, tags, options);
  await using output = await openWork(path);
  await backUpInto(policy, repository, output.directory, tags, options);
  const tar = new TarWriter(output.archive.stream, options.signal);
  await packDirectory(tar, output.directory);
  await tar.end();
  await output.archive.publish();
  return tags;
}

/** A layout beside the archive that it becomes, on the same disk. */
async function openWork(path: string) {
  const archive = await openArchiveOutput(path, `${path} exists already`);
  const directory = await mkdtemp(join(dirname(path), '.slipway-backup-'));
  return {
    archive,
    directory,
    async [Symbol.asyncDispose]() {
      await rm(directory, { recursive: true, force: true });
      await archive.discard();
    },
  };
}

async function backUpInto(
  policy: AdmissionPolicy,
  { domain, path: name }: NamedReference,
  directory: string,
  tags: readonly string[],
  options: BackupOptions,
): Promise<readonly string[]> {
  const { registry, onTag } = options;
  const { ociSharedBlobDirectory: _shared, ...layout } = registry;
  for (const tag of tags) {
    const source = DockerReference.of({ domain, path: name, tag });
    const destination = new LayoutReference(directory, { name: tag }, '/');
    const result = await copyImage(policy, source, destination, copyOptions(registry, layout, options));
    onTag?.(tag, result);
  }
  return tags;
}

/**
 * Puts the tags of a backup into a repository, as `oras restore`.
 * @param path a layout, or an archive of one
 * @param dryRun only say which
 * @throws ArtifactError `not-an-artifact` for a backup without tags; TransportError
 */
export async function restoreRepository(
  policy: AdmissionPolicy,
  path: string,
  { domain, path: name }: NamedReference,
  options: BackupOptions & { readonly dryRun?: boolean },
): Promise<readonly string[]> {
  const { registry, onTag } = options;
  const named = (tag: string): ImageReference =>
    path.endsWith('.tar')
      ? new LayoutArchiveReference(path, { name: tag }, '/')
      : new LayoutReference(path, { name: tag }, '/');
  const tags = options.tags ?? (await listTags(named(''), registry));
  if (tags.length === 0) throw new ArtifactError('not-an-artifact', `no tags in ${path}`);
  for (const tag of tags) {
    const destination = DockerReference.of({ domain, path: name, tag });
    const copy = () => copyImage(policy, named(tag), destination, copyOptions(registry, registry, options));
    const result = options.dryRun ? undefined : await copy();
    onTag?.(tag, result);
  }
  return tags;
}

/** Everything as it is: all platforms, the same digests; signatures travel as tags and referrers of their own. */
function copyOptions(
  source: TransportContext,
  destination: TransportContext,
  { referrers, onProgress, signal }: BackupOptions,
): CopyOptions {
  return {
    source,
    destination,
    select: 'all',
    preserveDigests: true,
    removeSignatures: true,
    ...(referrers ? { referrers: {} } : {}),
    ...(onProgress ? { onProgress } : {}),
    ...(signal ? { signal } : {}),
  };
}
