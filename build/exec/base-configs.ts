import { SlipwayError } from '../../errors.ts';
import type { ImageConfig } from '../../image/config.ts';
import { formatReference } from '../../image/reference.ts';
import type { ImageReference } from '../../transport/contract.ts';
import { openImage, readImageConfig } from '../../transport/inspect.ts';
import { parseImageReference } from '../../transport/references.ts';
import type { BuildSurroundings } from '../container/contract.ts';
import { contextOf, findLocalImage, resolveName, transportReference } from '../container/pull.ts';
import { ImageViews } from './image-view.ts';

/**
 * The configurations of images by name, without pulling one: those in local storage, and those of registries where
 * asked for. Names that lead nowhere are missing in the result.
 */
export async function baseConfigs(
  surroundings: BuildSurroundings,
  names: readonly string[],
  options: { readonly registries: boolean },
): Promise<Map<string, ImageConfig>> {
  const views = new ImageViews(surroundings.store);
  const configs = new Map<string, ImageConfig>();
  for (const name of names) {
    const local = await tolerant(() => findLocalImage(surroundings, name));
    const config = local
      ? (await views.get(local.record))?.config
      : options.registries
        ? await tolerant(() => remoteConfig(surroundings, name))
        : undefined;
    if (config) configs.set(name, config);
  }
  return configs;
}

async function remoteConfig(surroundings: BuildSurroundings, name: string): Promise<ImageConfig | undefined> {
  const other = await transportReference(surroundings, name);
  if (other) return configOf(surroundings, other);
  const { candidates } = await resolveName(surroundings, name);
  for (const { tag, ...candidate } of candidates) {
    const named = candidate.digest === undefined && tag !== undefined ? { ...candidate, tag } : candidate;
    const reference = await parseImageReference(`docker://${formatReference(named)}`, surroundings);
    const config = await tolerant(() => configOf(surroundings, reference));
    if (config) return config;
  }
  return undefined;
}

async function configOf(surroundings: BuildSurroundings, reference: ImageReference): Promise<ImageConfig> {
  const context = contextOf(surroundings);
  await using source = await reference.openSource(context);
  return readImageConfig(source, await openImage(source, context), surroundings.signal);
}

/** What cannot be found or read is as if it were not there: the caller says so. */
async function tolerant<T>(action: () => Promise<T>): Promise<T | undefined> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof SlipwayError) return undefined;
    throw error;
  }
}
