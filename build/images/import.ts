import { addToContainer } from '../add/add.ts';
import { overrideRuntime } from '../commit/change-config.ts';
import { commitToStore } from '../commit/commit.ts';
import { setHistoryComment, setPlatform } from '../container/config.ts';
import type { BuildSurroundings } from '../container/contract.ts';
import { createContainer } from '../container/create.ts';
import { BuildError } from '../error.ts';

/** Options of {@link importArchive}. */
export interface ImportOptions {
  /** Normalised name of the image. */
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
 * @throws BuildError `bad-context` where the file is no archive, `bad-instruction`
 */
export async function importArchive(
  surroundings: BuildSurroundings,
  archive: string,
  options: ImportOptions = {},
): Promise<string> {
  const changeConfig = overrideRuntime({}, options.changes ?? []);
  const created = await createContainer(surroundings, { from: 'scratch' });
  try {
    await addToContainer(surroundings, created, '/', [archive], {
      extract: true,
      extractRemote: true,
      preserveOwnership: true,
      allowWildcards: false,
    });
    let container = setPlatform(surroundings.platform)(created);
    if (options.message) container = setHistoryComment(options.message)(container);
    const { imageId, topLayer } = await commitToStore(surroundings, container, {
      names: options.name ? [options.name] : [],
      changeConfig,
    });
    if (topLayer === undefined) throw new BuildError('bad-context', `${archive} holds no files`);
    return imageId;
  } finally {
    await surroundings.store.deleteContainer(created.id);
  }
}
