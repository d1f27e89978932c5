import { join } from 'node:path';
import { copyImage } from '../../transport/copy.ts';
import { parseImageReference } from '../../transport/references.ts';
import { TarballReference } from '../../transport/tarball/reference.ts';
import { fetchRemote, isRemoteSource } from '../add/remote.ts';
import { overrideRuntime } from '../commit/change-config.ts';
import type { BuildSurroundings } from '../container/contract.ts';
import { contextOf } from '../container/pull.ts';
import { storageName } from '../container/storage-name.ts';
import { BuildError } from '../error.ts';

/** Options of {@link importArchive}. */
export interface ImportOptions {
  /** Normalised name of the image; absent: it has none. */
  readonly name?: string;
  /** Containerfile instructions that configure: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR. */
  readonly changes?: readonly string[];
  /** Comment of the history entry. */
  readonly message?: string;
}

/**
 * Makes an image of one layer from an archive of a root file system, as `podman import`. The archive is a local file
 * or an http(s) URL, compressed or not.
 * @returns the image id
 * @throws BuildError `bad-instruction`, `missing-file`; TransportError; StoreError where the file is no archive
 */
export async function importArchive(
  surroundings: BuildSurroundings,
  archive: string,
  options: ImportOptions = {},
): Promise<string> {
  const changes = options.changes ?? [];
  const config = changes.length > 0 ? overrideRuntime({}, changes)({}) : {};
  const update = { config, ...(options.message && { comment: options.message }) };
  if (!isRemoteSource(archive)) return await importFile(surroundings, archive, update, options.name);
  await using fetched = await fetchRemote(archive, {}, surroundings);
  return await importFile(surroundings, join(fetched.directory, fetched.name), update, options.name);
}

async function importFile(
  surroundings: BuildSurroundings,
  path: string,
  update: ConstructorParameters<typeof TarballReference>[2],
  chosen: string | undefined,
): Promise<string> {
  const { policy, store, onProgress, signal, workingDirectory } = surroundings;
  const context = contextOf(surroundings);
  const source = new TarballReference([path], workingDirectory, update);
  const name = chosen ?? (await storageName(source, context));
  const destination = await parseImageReference(`containers-storage:${name}`, surroundings);
  await copyImage(policy, source, destination, { source: context, destination: context, onProgress, signal });
  const record = await store.images.get(name.replace(/^@/, ''));
  if (record) return record.id;
  throw new BuildError('pull-failed', `importing ${path}: the image is gone from local storage again`);
}
