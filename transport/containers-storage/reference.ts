import type { NamedReference } from '../../image/reference.ts';
import type { Store } from '../../store/storage/contract.ts';
import type {
  DeletableReference,
  ImageDestination,
  ImageReference,
  ImageSource,
  TransportContext,
} from '../contract.ts';
import { TransportError } from '../error.ts';
import { formatNameAndId, parseStorageName, policyNamespaces, type StorageName } from './name.ts';

/** The store that a reference was opened in. */
export interface OpenedPlace {
  readonly driver: string;
  readonly graphRoot: string;
  readonly runRoot: string;
  readonly options: readonly string[];
}

/**
 * `containers-storage:` names an image in local storage. Which store it is in the default case is known only once it
 * is opened: {@link StorageReference.in} gives the reference with all its parts, which sources and destinations carry.
 */
export class StorageReference implements DeletableReference {
  readonly transport = 'containers-storage';
  readonly name: StorageName;
  readonly #text: string;
  readonly #place: OpenedPlace | undefined;

  constructor(name: StorageName, text: string, place?: OpenedPlace) {
    this.name = name;
    this.#text = text;
    this.#place = place;
  }

  get named(): NamedReference | undefined {
    return this.name.named;
  }

  get within(): string {
    const place = this.#place;
    if (place === undefined) return this.#text;
    const options = place.options.length > 0 ? `:${place.options.join(',')}` : '';
    return `[${place.driver}@${place.graphRoot}+${place.runRoot}${options}]${this.#nameAndId()}`;
  }

  /** Empty until the store is known. */
  get policyIdentity(): string {
    const place = this.#knownPlace();
    return place === undefined ? '' : `[${place.driver}@${place.graphRoot}]${this.#nameAndId()}`;
  }

  get policyNamespaces(): readonly string[] {
    const place = this.#knownPlace();
    return place === undefined
      ? []
      : policyNamespaces(place.driver, place.graphRoot, this.name.named, this.name.id);
  }

  #knownPlace(): { readonly driver: string; readonly graphRoot: string } | undefined {
    if (this.#place !== undefined) return this.#place;
    const { driver, graphRoot } = this.name.location ?? {};
    return driver === undefined || graphRoot === undefined ? undefined : { driver, graphRoot };
  }

  #nameAndId(): string {
    return formatNameAndId(this.name.named, this.name.id);
  }

  /** This reference in the store that it was opened in, with the id it turned out to have. */
  in(store: Store, name: StorageName = this.name): StorageReference {
    const { driver, graphRoot, runRoot, graphOptions } = store;
    return new StorageReference(name, this.#text, { driver, graphRoot, runRoot, options: graphOptions });
  }

  async openStore(context: TransportContext): Promise<Store> {
    if (context.openStore === undefined)
      throw new TransportError(
        'unsupported',
        'containers-storage: is not available here: no store was given',
      );
    return await context.openStore(this.name.location);
  }

  async openSource(context: TransportContext): Promise<ImageSource> {
    const { openStorageSource } = await import('./source.ts');
    return openStorageSource(this, await this.openStore(context), context);
  }

  async openDestination(context: TransportContext): Promise<ImageDestination> {
    const { openStorageDestination } = await import('./destination.ts');
    return openStorageDestination(this, await this.openStore(context), context);
  }

  async deleteImage(context: TransportContext): Promise<void> {
    const { resolveImage } = await import('./resolve.ts');
    const store = await this.openStore(context);
    const { image } = await resolveImage(this, store, context.platform);
    await store.deleteImage(image.id, { signal: context.signal });
  }
}

export function parse(within: string): ImageReference {
  return new StorageReference(parseStorageName(within), within);
}
