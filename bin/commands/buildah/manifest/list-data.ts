import { type ManifestList, preferredMediaType } from '../../../../build/list/list.ts';
import type { Annotations, Descriptor } from '../../../../image/descriptor.ts';
import { sortedMap } from '../../../../image/go-json.ts';

/** A manifest list as `manifest inspect` shows it: what Docker's and OCI's formats know, in one order of keys. */
export function listData(list: ManifestList): object {
  const { index } = list;
  return {
    schemaVersion: 2,
    mediaType: preferredMediaType(list),
    ...(index.artifactType ? { artifactType: index.artifactType } : {}),
    manifests: index.manifests.map((entry) => entryData(list, entry)),
    ...(index.subject ? { subject: entryData(list, index.subject) } : {}),
    ...annotationsOf(index.annotations),
  };
}

function entryData({ artifacts, features }: ManifestList, entry: Descriptor): object {
  const files = artifacts.files[entry.digest];
  const { artifactType, data, urls } = entry;
  return {
    mediaType: entry.mediaType,
    size: entry.size,
    digest: entry.digest,
    ...(urls?.length ? { urls } : {}),
    platform: platformData(entry, features.get(entry.digest)),
    ...annotationsOf(entry.annotations),
    ...(artifactType ? { artifactType } : {}),
    ...(data ? { data } : {}),
    ...(files ? { files } : {}),
  };
}

function platformData({ platform }: Descriptor, features: readonly string[] | undefined): object {
  const version = platform?.['os.version'];
  const osFeatures = platform?.['os.features'];
  return {
    architecture: platform?.architecture ?? '',
    os: platform?.os ?? '',
    ...(version ? { 'os.version': version } : {}),
    ...(osFeatures?.length ? { 'os.features': osFeatures } : {}),
    ...(platform?.variant ? { variant: platform.variant } : {}),
    ...(features ? { features } : {}),
  };
}

function annotationsOf(annotations: Annotations = {}): object {
  const map = sortedMap(annotations);
  return map ? { annotations: map } : {};
}
