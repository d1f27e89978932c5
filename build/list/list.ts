import type { Annotations, Descriptor } from '../../image/descriptor.ts';
import { type Digest, digestOf } from '../../image/digest.ts';
import { type ImageIndex, parseManifest } from '../../image/manifest.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import type { Platform } from '../../image/platform.ts';
import { serializeIndex } from '../../image/serialize.ts';
import type { ImageRecord, Store } from '../../store/storage/contract.ts';
import { BuildError } from '../error.ts';

/**
 * A manifest list that is being put together in local storage, as containers/common keeps one: an image record
 * without layers whose big data holds the index, where its images are, and the contents of artifacts.
 */
export interface ManifestList {
  /** Of the image record; empty before it was saved. */
  readonly id: string;
  readonly index: ImageIndex;
  /** Docker's `platform.features`, which OCI indexes lack, by digest. */
  readonly features: ReadonlyMap<Digest, readonly string[]>;
  /** `transport:reference` of each image, by the digest of its manifest. */
  readonly instances: ReadonlyMap<Digest, string>;
  readonly artifacts: ListArtifacts;
}

/** What artifacts.json keeps; the keys are the file's. */
export interface ListArtifacts {
  /** Manifest text by its digest. */
  readonly manifests: Readonly<Record<string, string>>;
  /** Absolute file paths by manifest digest. */
  readonly files: Readonly<Record<string, readonly string[]>>;
  readonly config: Readonly<Record<string, string>>;
  readonly layers: Readonly<Record<string, readonly string[]>>;
  /** File path by blob digest. */
  readonly detached: Readonly<Record<string, string>>;
  /** Base64 by blob digest. */
  readonly blobs: Readonly<Record<string, string>>;
}

const INSTANCES_KEY = 'instances.json';
const ARTIFACTS_KEY = 'artifacts.json';
const NO_ARTIFACTS: ListArtifacts = {
  manifests: {},
  files: {},
  config: {},
  layers: {},
  detached: {},
  blobs: {},
};

export function emptyList(): ManifestList {
  return {
    id: '',
    index: { kind: 'index', format: 'oci', mediaType: MEDIA_TYPE.ociIndex, manifests: [] },
    features: new Map(),
    instances: new Map(),
    artifacts: NO_ARTIFACTS,
  };
}

/** @throws BuildError `bad-argument` where the record, which the error calls `shown`, is no manifest list */
export async function loadList(
  store: Store,
  record: ImageRecord,
  shown = record.names[0] ?? record.id,
): Promise<ManifestList> {
  const bytes = await store.images.bigData(record.id, 'manifest');
  const manifest = bytes && parseManifest(bytes);
  if (manifest?.kind !== 'index')
    throw new BuildError('bad-argument', `${shown}: image is not a manifest list`);
  const instances = await jsonData(store, record, INSTANCES_KEY);
  const artifacts = await jsonData(store, record, ARTIFACTS_KEY);
  return {
    id: record.id,
    index: manifest,
    features: featuresOf(bytes as Uint8Array),
    instances: new Map(
      Object.entries(instances as Record<string, string>).filter(([digest]) => digest !== '') as [
        Digest,
        string,
      ][],
    ),
    artifacts: { ...NO_ARTIFACTS, ...(artifacts as Partial<ListArtifacts>) },
  };
}

async function jsonData(store: Store, record: ImageRecord, key: string): Promise<object> {
  const bytes = await store.images.bigData(record.id, key);
  if (!bytes) return {};
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8')) as object;
  } catch (cause) {
    throw new BuildError(
      'bad-argument',
      `reading ${key} of image "${record.id}": ${(cause as Error).message}`,
      {
        cause,
        hint: `remove the list with: buildah manifest rm ${record.id}`,
      },
    );
  }
}

function featuresOf(bytes: Uint8Array): Map<Digest, readonly string[]> {
  const json = JSON.parse(Buffer.from(bytes).toString('utf8')) as {
    manifests?: { digest: Digest; platform?: { features?: string[] } }[];
  };
  const entries = (json.manifests ?? []).filter((entry) => entry.platform?.features?.length);
  return new Map(entries.map((entry) => [entry.digest, entry.platform?.features ?? []]));
}

/** The index as bytes, in the format of {@link preferredMediaType}. */
export function serializeList(list: ManifestList): Uint8Array {
  const { index, features } = list;
  if (preferredMediaType(list) === MEDIA_TYPE.ociIndex)
    return serializeIndex({ ...index, format: 'oci', mediaType: MEDIA_TYPE.ociIndex });
  const bytes = serializeIndex({ ...index, format: 'docker', mediaType: MEDIA_TYPE.dockerList });
  if (features.size === 0) return bytes;
  const json = JSON.parse(Buffer.from(bytes).toString('utf8')) as {
    manifests: { digest: Digest; platform: Record<string, unknown> }[];
  };
  for (const entry of json.manifests) {
    const list = features.get(entry.digest);
    if (list) entry.platform.features = list;
  }
  return Buffer.from(JSON.stringify(json));
}

/** OCI's where something needs it; Docker's for a list with its `features`, and for an empty one, whose type it tells. */
export function preferredMediaType({ index, features }: ManifestList): string {
  const needsOci =
    index.artifactType ||
    index.subject ||
    hasAnnotations(index) ||
    index.manifests.some((entry) => entry.artifactType || entry.data || hasAnnotations(entry));
  const hasFeatures = index.manifests.some(({ digest }) => features.has(digest));
  const docker = !needsOci && (hasFeatures || index.manifests.length === 0);
  return docker ? MEDIA_TYPE.dockerList : MEDIA_TYPE.ociIndex;
}

function hasAnnotations({ annotations }: { readonly annotations?: Annotations }): boolean {
  return Object.keys(annotations ?? {}).length > 0;
}

/**
 * Writes the list to its record, or to a new one with the given names.
 * @returns the record's id
 */
export async function saveList(
  store: Store,
  list: ManifestList,
  names: readonly string[] = [],
): Promise<string> {
  const manifest = serializeList(list);
  const instances = Object.fromEntries([...list.instances].sort(([a], [b]) => (a < b ? -1 : 1)));
  const data: [string, Uint8Array][] = [
    ['manifest', manifest],
    [INSTANCES_KEY, Buffer.from(JSON.stringify(instances))],
    [ARTIFACTS_KEY, Buffer.from(JSON.stringify(present(list.artifacts)))],
  ];
  if (list.id === '') {
    const record = await store.images.create({
      names,
      digest: digestOf(manifest),
      bigData: data.map(([key, bytes]) => ({ key, data: bytes })),
    });
    return record.id;
  }
  for (const [key, bytes] of data) await store.images.setBigData(list.id, key, bytes);
  if (names.length) await store.images.addNames(list.id, names);
  return list.id;
}

function present(artifacts: ListArtifacts): object {
  return Object.fromEntries(Object.entries(artifacts).filter(([, map]) => Object.keys(map as object).length));
}

/** Adds an entry, or replaces the one of the same digest. */
export function withEntry(list: ManifestList, entry: Descriptor, reference?: string): ManifestList {
  const others = list.index.manifests.filter((known) => known.digest !== entry.digest);
  const instances = new Map(list.instances);
  if (reference !== undefined && !instances.has(entry.digest)) instances.set(entry.digest, reference);
  return { ...list, index: { ...list.index, manifests: [...others, entry] }, instances };
}

/** @throws BuildError `bad-argument` where the list has no such entry */
export function withoutEntry(list: ManifestList, digest: Digest): ManifestList {
  requireEntry(list, digest);
  const instances = new Map(list.instances);
  instances.delete(digest);
  const manifests = list.index.manifests.filter((entry) => entry.digest !== digest);
  return { ...list, index: { ...list.index, manifests }, instances };
}

/** Fields of an entry that `annotate` and `add` override. */
export interface EntryChanges {
  readonly os?: string;
  readonly architecture?: string;
  readonly variant?: string;
  readonly osVersion?: string;
  readonly osFeatures?: readonly string[];
  readonly features?: readonly string[];
  readonly annotations?: Annotations;
}

/** @throws BuildError `bad-argument` where the list has no such entry */
export function changeEntry(list: ManifestList, digest: Digest, changes: EntryChanges): ManifestList {
  requireEntry(list, digest);
  const manifests = list.index.manifests.map((entry) =>
    entry.digest === digest ? changedEntry(entry, changes) : entry,
  );
  const features = new Map(list.features);
  if (changes.features?.length) features.set(digest, changes.features);
  return { ...list, index: { ...list.index, manifests }, features };
}

function changedEntry(entry: Descriptor, changes: EntryChanges): Descriptor {
  const { os, architecture, variant, osVersion, osFeatures, annotations } = changes;
  const platform: Platform = {
    ...(entry.platform ?? { os: '', architecture: '' }),
    ...(os ? { os } : {}),
    ...(architecture ? { architecture } : {}),
    ...(variant ? { variant } : {}),
    ...(osVersion ? { 'os.version': osVersion } : {}),
    ...(osFeatures?.length ? { 'os.features': osFeatures } : {}),
  };
  const hasPlatform =
    entry.platform !== undefined || os || architecture || variant || osVersion || osFeatures?.length;
  return {
    ...entry,
    ...(hasPlatform ? { platform } : {}),
    ...(annotations ? { annotations: { ...entry.annotations, ...annotations } } : {}),
  };
}

export function requireEntry(list: ManifestList, digest: Digest): Descriptor {
  const entry = list.index.manifests.find((known) => known.digest === digest);
  if (!entry)
    throw new BuildError(
      'bad-argument',
      `no instance matching digest "${digest}" found in manifest list: file does not exist`,
    );
  return entry;
}

export function annotateIndex(
  list: ManifestList,
  annotations: Annotations,
  subject?: Descriptor,
): ManifestList {
  const merged = { ...list.index.annotations, ...annotations };
  return {
    ...list,
    index: {
      ...list.index,
      ...(Object.keys(merged).length ? { annotations: merged } : {}),
      ...(subject ? { subject } : {}),
    },
  };
}
