import { encodedOf } from '../../image/digest.ts';
import { ImageError } from '../../image/error.ts';
import { manifestDigest, parseManifest } from '../../image/manifest.ts';
import {
  formatReference,
  type NamedReference,
  parseReference,
  withDefaultTag,
} from '../../image/reference.ts';
import { type ImageReference, listsTags, type TransportContext } from '../../transport/contract.ts';
import { parseImageReference } from '../../transport/references.ts';
import { copyStored } from '../commit/copy-stored.ts';
import type { BuildSurroundings } from '../container/contract.ts';
import { contextOf } from '../container/pull.ts';
import { BuildError } from '../error.ts';

export const SAVE_FORMATS = ['docker-archive', 'oci-archive', 'oci-dir', 'docker-dir'] as const;
export type SaveFormat = (typeof SAVE_FORMATS)[number];

/** A local image and the names under which an archive holds it. */
export interface SavedImage {
  readonly id: string;
  readonly names: readonly string[];
}

/** Options of {@link saveImages}. */
export interface SaveOptions {
  readonly format: SaveFormat;
  /** Where to: a file for archives, a directory otherwise. */
  readonly path: string;
  /** `docker-dir` and `oci-dir`: compress layers. */
  readonly compress?: boolean;
}

/**
 * Writes local images to an archive or directory, as `podman save`. Several images go into docker archives alone.
 * @throws BuildError `bad-option`; TransportError
 */
export async function saveImages(
  surroundings: BuildSurroundings,
  images: readonly SavedImage[],
  options: SaveOptions,
): Promise<void> {
  const [first] = images;
  if (!first) throw new BuildError('bad-option', 'no image to save');
  if (images.length > 1) return await saveMany(surroundings, images, options);
  const name = first.names[0];
  if (options.format === 'docker-archive') return await saveMany(surroundings, images, options);
  const text = {
    'oci-archive': `oci-archive:${options.path}${name ? `:${name}` : ''}`,
    'oci-dir': `oci:${options.path}${name ? `:${name}` : ''}`,
    'docker-dir': `dir:${options.path}`,
  }[options.format];
  const destination = await parseImageReference(text, surroundings);
  const format = options.format === 'docker-dir' ? 'docker' : 'oci';
  await copyStored(surroundings, first.id, destination, {
    format,
    retries: 0,
    ...(options.compress ? { compression: { format: 'gzip' } } : {}),
  });
}

async function saveMany(
  surroundings: BuildSurroundings,
  images: readonly SavedImage[],
  options: SaveOptions,
): Promise<void> {
  if (options.format !== 'docker-archive')
    throw new BuildError('bad-option', 'only docker-archive can hold several images', {
      hint: 'use --format docker-archive',
    });
  const [{ openArchiveOutput }, { SavedImages }, { TarWriter }, { openSavedImageDestination }] =
    await Promise.all([
      import('../../transport/archive/output.ts'),
      import('../../transport/docker-archive/saved-images.ts'),
      import('../../transport/archive/tar-writer.ts'),
      import('../../transport/docker-archive/destination.ts'),
    ]);
  const base = await parseImageReference(`docker-archive:${options.path}`, surroundings);
  const output = await openArchiveOutput(
    options.path,
    "docker-archive doesn't support modifying existing images",
  );
  let published = false;
  try {
    const archive = new SavedImages(new TarWriter(output.stream, surroundings.signal));
    for (const { id, names } of images) {
      const tags: NamedReference[] = names.map(parseReference);
      const destination: ImageReference = {
        transport: base.transport,
        within: base.within,
        policyIdentity: base.policyIdentity,
        policyNamespaces: base.policyNamespaces,
        openSource: (context) => base.openSource(context),
        openDestination: (context) =>
          openSavedImageDestination(base, archive, tags, context, {
            commit: async () => {},
            close: async () => {},
          }),
      };
      await copyStored(surroundings, id, destination, { retries: 0 });
    }
    await archive.end();
    await output.publish();
    published = true;
  } finally {
    if (!published) await output.discard();
  }
}

/**
 * Reads every image of a docker archive, an oci archive or a directory into local storage, as `podman load`.
 * @returns the names, or ids where there is none
 * @throws BuildError `bad-context` for a file that is none of these
 */
export async function loadImages(surroundings: BuildSurroundings, path: string): Promise<readonly string[]> {
  const failures: unknown[] = [];
  for (const attempt of [loadDockerArchive, loadLayout]) {
    try {
      return await attempt(surroundings, path);
    } catch (error) {
      if (surroundings.signal?.aborted) throw error;
      failures.push(error);
    }
  }
  const reasons = failures.map((failure) => (failure instanceof Error ? failure.message : String(failure)));
  throw new BuildError(
    'bad-context',
    `${path} holds no images: payload does not match any of the supported image formats: ${reasons.join('; ')}`,
    { cause: failures[0] },
  );
}

async function loadDockerArchive(surroundings: BuildSurroundings, path: string): Promise<string[]> {
  const { listArchiveTags } = await import('../../transport/docker-archive/tags.ts');
  const archive = await parseImageReference(`docker-archive:${path}`, surroundings);
  const tags = await listArchiveTags(archive, contextOf(surroundings));
  const loaded: string[] = [];
  for (const tag of tags)
    loaded.push(
      await loadOne(surroundings, `docker-archive:${path}:${tag}`, tag.startsWith('@') ? undefined : tag),
    );
  return loaded;
}

/** Every named image of a layout, or its only one. */
async function loadLayout(surroundings: BuildSurroundings, path: string): Promise<string[]> {
  const { stat } = await import('node:fs/promises');
  const text = `${(await stat(path)).isDirectory() ? 'oci' : 'oci-archive'}:${path}`;
  const names = await namesInLayout(surroundings, text);
  if (names.length === 0) return [await loadOne(surroundings, text, undefined)];
  const loaded: string[] = [];
  for (const name of names)
    loaded.push(await loadOne(surroundings, `${text}:${name}`, isImageName(name) ? name : undefined));
  return loaded;
}

/** A layout of several images opens by name only: the first name is asked for its neighbours. */
async function namesInLayout(surroundings: BuildSurroundings, text: string): Promise<readonly string[]> {
  const reference = await parseImageReference(`${text}:@0`, surroundings);
  await using source = await reference.openSource(contextOf(surroundings));
  return listsTags(source) ? await source.listTags() : [];
}

function isImageName(name: string): boolean {
  try {
    return parseReference(name).path !== '';
  } catch (error) {
    if (error instanceof ImageError) return false;
    throw error;
  }
}

async function loadOne(
  surroundings: BuildSurroundings,
  text: string,
  name: string | undefined,
): Promise<string> {
  const { copyImage } = await import('../../transport/copy.ts');
  const source = await parseImageReference(text, surroundings);
  const context = contextOf(surroundings);
  const target = name
    ? formatReference(withDefaultTag(parseReference(name)))
    : `@${await imageId(source, context)}`;
  const destination = await parseImageReference(`containers-storage:${target}`, surroundings);
  await copyImage(surroundings.policy, source, destination, {
    source: context,
    destination: context,
    onProgress: surroundings.onProgress,
    signal: surroundings.signal,
  });
  return name ? target : `sha256:${target.slice(1)}`;
}

/** The id that storage gives to an image: that of its config. */
async function imageId(source: ImageReference, context: TransportContext): Promise<string> {
  await using opened = await source.openSource(context);
  const { bytes, mediaType } = await opened.getManifest();
  const manifest = parseManifest(bytes, mediaType);
  return encodedOf(manifest.kind === 'image' ? manifest.config.digest : manifestDigest(bytes));
}
