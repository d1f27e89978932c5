import { createHash } from 'node:crypto';
import { SlipwayError } from '../../errors.ts';
import { goTimeText } from '../../image/go-time.ts';
import type { ImageRecord } from '../../store/storage/contract.ts';
import { BUILT_HERE } from '../commit/built-mark.ts';
import { copyStored } from '../commit/copy-stored.ts';
import type { BuildSurroundings } from '../container/contract.ts';
import { pullImage } from '../container/pull.ts';
import { removeImage } from '../container/remove-image.ts';
import { type CacheQuery, isStep } from './cache.ts';
import type { ImageView } from './image-view.ts';
import type { StageLog } from './log.ts';
import type { BuildSession } from './session.ts';

/** Steps kept in registries: `--cache-from` and `--cache-to`. Each step is an image tagged with its key. */
export class RemoteCache {
  readonly #session: BuildSession;
  readonly #log: StageLog;
  /** The last step was found in a registry and need not be pushed again. */
  pulled = false;

  constructor(session: BuildSession, log: StageLog) {
    this.#session = session;
    this.#log = log;
  }

  /** Lines of transfers would tell of images that nobody asked for. */
  get #surroundings(): BuildSurroundings {
    const { surroundings, log } = this.#session;
    return { ...surroundings, onProgress: log.onTransfer };
  }

  get pulls(): boolean {
    return (this.#session.options.cacheFrom?.length ?? 0) > 0;
  }

  get pushes(): boolean {
    return (this.#session.options.cacheTo?.length ?? 0) > 0;
  }

  /** True where a registry had the step and it is in the store now; an image that is not the step is none. */
  async pull(query: CacheQuery & { readonly createdBy: string }): Promise<boolean> {
    const key = stepKey(query.createdBy, query.addsLayer, query.base);
    const { surroundings, options, unreachable, views } = this.#session;
    const { images } = surroundings.store;
    for (const repository of options.cacheFrom ?? []) {
      if (unreachable.has(repository)) continue;
      try {
        const before = await images.list();
        const record = await pullImage(this.#surroundings, `docker://${repository}:${key}`, {
          pullPolicy: 'ifnewer',
          retries: options.retries,
          retryDelayMs: options.retryDelayMs,
        });
        const view = await views.get(record);
        if (!view || !isStep(view, query)) {
          options.debug?.(`what the cache ${repository} has as ${key} is another image`);
          await this.#putBack(record, before);
          continue;
        }
        await images.setBigData(record.id, BUILT_HERE, Buffer.from('{}'));
      } catch (error) {
        if (!(error instanceof SlipwayError)) throw error;
        // Every step would wait for all tries again.
        if (error.retryable) unreachable.add(repository);
        options.debug?.(`failed pulling cache from source ${repository}: ${error.message}`);
        continue;
      }
      this.#log.line(`--> Cache pulled from remote ${repository}:${key}`);
      this.pulled = true;
      return true;
    }
    return false;
  }

  /** What nobody asked for does not stay; an image that was there keeps the names that it had. */
  async #putBack(pulled: ImageRecord, before: readonly ImageRecord[]): Promise<void> {
    const { surroundings } = this.#session;
    const known = before.find(({ id }) => id === pulled.id);
    const added = pulled.names.filter((name) => !known?.names.includes(name));
    if (known) await surroundings.store.images.removeNames(pulled.id, added);
    else await removeImage(surroundings, pulled, '', { keepParents: true });
  }

  async push(
    createdBy: string,
    addsLayer: boolean,
    base: ImageView | undefined,
    imageId: string,
  ): Promise<void> {
    const key = stepKey(createdBy, addsLayer, base);
    const { surroundings, options } = this.#session;
    const { parseImageReference } = await import('../../transport/references.ts');
    this.#log.line(`--> Pushing cache [${(options.cacheTo ?? []).join(' ')}]:${key}`);
    for (const repository of options.cacheTo ?? []) {
      const reference = await parseImageReference(`docker://${repository}:${key}`, {
        workingDirectory: surroundings.workingDirectory,
      });
      await copyStored(this.#surroundings, imageId, reference, { ...options.copy });
    }
  }
}

/** A digest of everything the step's result depends on: the key that Buildah has for the step. */
export function stepKey(createdBy: string, addsLayer: boolean, base: ImageView | undefined): string {
  const hash = createHash('sha256');
  for (const diffId of base?.diffIds ?? []) hash.update(`${diffId}\n`);
  hash.update(`${addsLayer}${createdBy}\n${base?.mediaType ?? ''}\n`);
  for (const entry of base?.history ?? [])
    hash.update(
      `${entry.created_by ?? ''}\n${entry.author ?? ''}\n${entry.comment ?? ''}\n${entry.created === undefined ? '<nil>' : goTimeText(entry.created)}\n${entry.empty_layer ?? false}\n`,
    );
  return hash.digest('hex');
}
