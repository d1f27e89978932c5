import { join } from 'node:path';
import { isShortName } from '../../config/short-names.ts';
import type { ImageConfig } from '../../image/config.ts';
import { type Digest, tryParseDigest } from '../../image/digest.ts';
import { normalizePlatform } from '../../image/platform.ts';
import { StoreError } from '../../store/error.ts';
import { randomBytes } from '../../store/kernel/random.ts';
import type { ContainerRecord, ImageRecord, Store } from '../../store/storage/contract.ts';
import { lockFileAt } from '../../store/storage/lock-file.ts';
import { BuildError } from '../error.ts';
import { chooseIds } from './automatic-ids.ts';
import { setAnnotation, unsetAnnotation } from './config.ts';
import type {
  BuildSurroundings,
  CreateWorkingContainerOptions,
  NamespaceOption,
  WorkingContainer,
} from './contract.ts';
import { imageDisplayName, imageNamePrefix, unusedContainerName } from './name.ts';
import { pullImage } from './pull.ts';
import { saveContainer } from './state.ts';
import { readStoredConfig, readStoredImage } from './stored-image.ts';

const BASE_NAME = 'org.opencontainers.image.base.name';
const BASE_DIGEST = 'org.opencontainers.image.base.digest';

/** buildah's defaults: the host's user namespace, private others. */
export const DEFAULT_NAMESPACES: readonly NamespaceOption[] = [
  { Name: 'cgroup', Host: false, Path: '' },
  { Name: 'ipc', Host: false, Path: '' },
  { Name: 'mount', Host: false, Path: '' },
  { Name: 'network', Host: false, Path: '' },
  { Name: 'pid', Host: false, Path: '' },
  { Name: 'user', Host: true, Path: '' },
  { Name: 'uts', Host: false, Path: '' },
];

/**
 * Makes a working container from an image (pulled as the policy says) or from scratch, and writes its state file.
 * @throws BuildError `pull-failed`, StoreError `name-in-use`
 */
export async function createContainer(
  surroundings: BuildSurroundings,
  options: CreateWorkingContainerOptions,
): Promise<WorkingContainer> {
  const from = options.from === 'scratch' ? '' : options.from;
  const image = from === '' ? undefined : await pullImage(surroundings, from, options);
  return createFromRecord(surroundings, from, image, options);
}

/** As {@link createContainer} for an image that is known by its record, such as an earlier stage's. */
export async function createFromRecord(
  surroundings: BuildSurroundings,
  from: string,
  image: ImageRecord | undefined,
  options: CreateWorkingContainerOptions,
): Promise<WorkingContainer> {
  const { store } = surroundings;
  const imageName = image ? shownName(from, image, options) : from;
  const base = image ? await baseOf(store, image) : undefined;
  const record = await newRecord(surroundings, imageName, image, options);
  try {
    const container = initialState(surroundings, record, imageName, image, base, options);
    await saveContainer(store, container);
    return container;
  } catch (error) {
    await store.deleteContainer(record.id).catch(() => undefined);
    throw error;
  }
}

/** An image as if a container had been made of it, without one: what `inspect` shows, what an import starts from. */
export async function describeImage(
  surroundings: BuildSurroundings,
  image: ImageRecord,
): Promise<WorkingContainer> {
  const base = await baseOf(surroundings.store, image);
  const options = { from: image.names[0] ?? '', keepBaseAnnotations: true };
  return initialState(surroundings, NO_CONTAINER, image.names[0] ?? '', image, base, options);
}

/** The container that {@link createFromRecord} would make, but for its id, name and layer: nothing is written. */
export function plannedContainer(
  surroundings: BuildSurroundings,
  from: string,
  image: { readonly record: ImageRecord; readonly base: ContainerBase } | undefined,
  options: CreateWorkingContainerOptions,
): WorkingContainer {
  const name = image ? shownName(from, image.record, options) : from;
  return initialState(surroundings, NO_CONTAINER, name, image?.record, image?.base, options);
}

/** What a container calls the image that it is made of. */
export function shownName(
  from: string,
  image: ImageRecord,
  { goesById }: Pick<CreateWorkingContainerOptions, 'goesById'>,
): string {
  return imageDisplayName(imageNamePrefix(from), goesById ? [] : image.names);
}

const NO_CONTAINER = { id: '', names: [], layerId: '' };

/**
 * The state that a container would have if it were made from another image with the same top layer: nothing is
 * written. For a build's metadata steps, which change no file.
 */
export async function rebaseContainer(
  surroundings: BuildSurroundings,
  container: WorkingContainer,
  image: ImageRecord,
  options: CreateWorkingContainerOptions,
): Promise<WorkingContainer> {
  const { id, name, layerId, idMappings } = container;
  const record = { id, names: [name], layerId, idMappings };
  const imageName = shownName(options.from, image, options);
  return initialState(
    surroundings,
    record,
    imageName,
    image,
    await baseOf(surroundings.store, image),
    options,
  );
}

/** What a container takes over from the image that it is made of. */
export interface ContainerBase {
  readonly manifestBytes: Uint8Array;
  readonly configBytes: Uint8Array;
  readonly config: ImageConfig;
  readonly digest: Digest;
  readonly annotations: Readonly<Record<string, string>>;
}

async function baseOf(store: Store, record: ImageRecord): Promise<ContainerBase> {
  const image = await readStoredImage(store, record);
  const { config, configBytes } = await readStoredConfig(store, image);
  const annotations = image.manifest.kind === 'image' ? (image.manifest.annotations ?? {}) : {};
  return { manifestBytes: image.manifestBytes, configBytes, config, digest: image.digest, annotations };
}

async function newRecord(
  { store, signal }: BuildSurroundings,
  imageName: string,
  image: ImageRecord | undefined,
  options: CreateWorkingContainerOptions,
): Promise<ContainerRecord> {
  const { automaticIds } = options;
  if (!automaticIds) return newContainer(store, imageName, image, options);
  // Until the container is recorded its ids look free to others; Podman takes this lock too.
  const hold = await lockFileAt(join(store.graphRoot, 'userns.lock')).acquire('write', signal);
  try {
    const idMappings = await chooseIds(store, automaticIds, image);
    return await newContainer(store, imageName, image, { ...options, idMappings });
  } finally {
    hold.release();
  }
}

async function newContainer(
  store: Store,
  imageName: string,
  image: ImageRecord | undefined,
  options: CreateWorkingContainerOptions,
): Promise<ContainerRecord> {
  const suffix = options.suffix ?? 'working-container';
  const stem = imageName ? `${imageNamePrefix(imageName)}-${suffix}` : suffix;
  const flags = {
    MountLabel: options.mountLabel ?? '',
    ProcessLabel: options.processLabel ?? '',
    Volatile: true,
  };
  for (let attempt = 0; ; attempt += 1) {
    const name = options.name ?? (await freeName(store, stem, attempt));
    try {
      return await store.containers.create({
        ...(options.id === undefined ? {} : { id: options.id }),
        names: [name],
        imageId: image?.id ?? '',
        idMappings: options.idMappings,
        mountLabel: options.mountLabel,
        flags,
      });
    } catch (cause) {
      if (!(cause instanceof StoreError) || cause.code !== 'name-in-use') throw cause;
      if (options.name !== undefined || attempt > 20)
        throw new BuildError('bad-argument', `creating container: ${cause.message}`, {
          cause,
          hint: `choose another --name, or remove that container with: buildah rm ${name}`,
        });
    }
  }
}

/** Another process may take the free name between listing and creating: later attempts add random digits. */
async function freeName(store: Store, stem: string, attempt: number): Promise<string> {
  if (attempt === 0) return unusedContainerName(stem, await store.containers.list());
  return `${stem}-${randomBytes(4).readUInt32LE() % 10 ** Math.min(attempt + 1, 9)}`;
}

function initialState(
  surroundings: BuildSurroundings,
  record: Pick<ContainerRecord, 'id' | 'names' | 'layerId' | 'idMappings'>,
  imageName: string,
  image: ImageRecord | undefined,
  base: ContainerBase | undefined,
  options: CreateWorkingContainerOptions,
): WorkingContainer {
  const format = options.format ?? 'oci';
  const { ociConfig, dockerConfig } = initialConfigs(surroundings, base, format, options);
  const container: WorkingContainer = {
    id: record.id,
    name: record.names[0] ?? '',
    layerId: record.layerId,
    fromImage: imageName,
    fromImageId: image?.id ?? '',
    fromImageDigest: base?.digest ?? image?.digest,
    topLayer: image?.topLayer ?? '',
    sourceManifest: base?.manifestBytes,
    sourceConfig: base?.configBytes,
    ociConfig,
    dockerConfig,
    preferredFormat: format,
    annotations: base?.annotations ?? {},
    createdBy: '',
    historyComment: '',
    prependedHistory: [],
    appendedHistory: [],
    prependedLayers: [],
    appendedLayers: [],
    processLabel: options.processLabel,
    mountLabel: options.mountLabel,
    idMappings: record.idMappings ?? options.idMappings,
    isolation: options.isolation ?? 'oci',
    namespaces: mergeNamespaces(options.namespaces ?? []),
    network: options.network ?? 'default',
    capabilities: options.capabilities ?? [],
    devices: options.devices ?? [],
    cdiDirectory: options.cdiDirectory,
    groupAdd: options.groupAdd ?? [],
    args: options.args ?? {},
    defaultMountsFile: options.defaultMountsFile ?? '',
    runOptions: options.runOptions ?? {},
    rest: { ContentDigester: {}, CNIPluginPath: '', CNIConfigDir: '' },
  };
  return options.keepBaseAnnotations ? container : withBaseAnnotations(container, imageName);
}

function withBaseAnnotations(container: WorkingContainer, imageName: string): WorkingContainer {
  const digested = setAnnotation(BASE_DIGEST, container.fromImageDigest ?? '')(container);
  return imageName !== '' && isShortName(imageName)
    ? unsetAnnotation(BASE_NAME)(digested)
    : setAnnotation(BASE_NAME, imageName)(digested);
}

function initialConfigs(
  { now, platform }: BuildSurroundings,
  base: ContainerBase | undefined,
  format: 'oci' | 'docker',
  options: CreateWorkingContainerOptions,
): Pick<WorkingContainer, 'ociConfig' | 'dockerConfig'> {
  const source: ImageConfig = base?.config ?? {
    architecture: '',
    os: '',
    config: options.bareScratchConfig ? {} : { WorkingDir: '/' },
    rootfs: { type: 'layers', diff_ids: [] },
  };
  const filled: ImageConfig = {
    ...source,
    ...(source.architecture && source.os ? {} : platformKeys(source, platform)),
    created: source.created ?? now().toISOString(),
  };
  const { docker_version: _version, ...dockerBase } = filled;
  const hostname = filled.config?.Hostname || (format === 'docker' ? randomBytes(6).toString('hex') : '');
  return {
    ociConfig: filled,
    dockerConfig: { ...dockerBase, config: { ...filled.config, Hostname: hostname } },
  };
}

function platformKeys(source: ImageConfig, platform: BuildSurroundings['platform']): Partial<ImageConfig> {
  const chosen = normalizePlatform({ ...platform, os: source.os || platform.os });
  return { os: chosen.os, architecture: chosen.architecture, variant: chosen.variant };
}

/** The defaults with the given kinds replaced. */
export function mergeNamespaces(given: readonly NamespaceOption[]): NamespaceOption[] {
  const named = new Map([...DEFAULT_NAMESPACES, ...given].map((option) => [option.Name, option]));
  return [...named.values()];
}

/** The digest that an id stands for in Docker's `parent` field; empty where it is none. */
export function parentDigest(imageId: string): string {
  return imageId ? (tryParseDigest(`sha256:${imageId}`) ?? '') : '';
}
