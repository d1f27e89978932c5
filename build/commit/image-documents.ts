import type { HistoryEntry, ImageConfig, RuntimeConfig } from '../../image/config.ts';
import type { Descriptor } from '../../image/descriptor.ts';
import { type Digest, digestOf } from '../../image/digest.ts';
import { goJson } from '../../image/go-json.ts';
import { layerMediaType, MEDIA_TYPE } from '../../image/media-type.ts';
import { serializeManifest } from '../../image/serialize.ts';
import type { CommitOptions, WorkingContainer } from '../container/contract.ts';
import { parentDigest } from '../container/create.ts';
import { dockerDocument, ociDocument } from '../container/documents.ts';
import { BuildError } from '../error.ts';

/** A layer of the image that is written: its plain digest and size, as storage keeps it. */
export interface CommittedLayer {
  readonly id: string;
  readonly diffId: Digest;
  readonly sizeBytes: number;
  /** What the manifest names instead of the plain layer: the same, gzip-compressed. */
  readonly gzip?: { readonly digest: Digest; readonly sizeBytes: number };
}

/** What {@link imageDocuments} needs beyond the container and the options. */
export interface DocumentInputs {
  readonly layers: readonly CommittedLayer[];
  readonly format: 'oci' | 'docker';
  /** RFC 3339, of the image and of new history entries. */
  readonly created: string;
  /** True where `--timestamp` or `--source-date-epoch` was given: nothing of this machine goes into the config. */
  readonly reproducible: boolean;
  /** Set where files were added in a layer of their own: its digest. */
  readonly extraLayer?: Digest;
}

export interface ImageDocuments {
  readonly config: Uint8Array;
  readonly configDigest: Digest;
  readonly configDescriptor: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly manifest: Uint8Array;
  readonly manifestDigest: Digest;
  readonly mediaType: string;
}

/** The config and manifest that a commit writes; equal inputs give equal bytes. */
export function imageDocuments(
  container: WorkingContainer,
  options: CommitOptions,
  inputs: DocumentInputs,
): ImageDocuments {
  const { format, layers } = inputs;
  const config = goJson(configDocument(container, options, inputs));
  const configDigest = digestOf(config);
  const mediaType = format === 'oci' ? MEDIA_TYPE.ociManifest : MEDIA_TYPE.dockerManifest;
  const configDescriptor = {
    mediaType: format === 'oci' ? MEDIA_TYPE.ociConfig : MEDIA_TYPE.dockerConfig,
    digest: configDigest,
    size: config.length,
  };
  const descriptors = layers.map((layer) => layerDescriptor(format, layer));
  const manifest = serializeManifest({
    kind: 'image',
    format,
    mediaType,
    config: configDescriptor,
    layers: descriptors,
    ...(format === 'oci' ? { annotations: imageAnnotations(container, options, inputs.created) } : {}),
  });
  return {
    config,
    configDigest,
    configDescriptor,
    layers: descriptors,
    manifest,
    manifestDigest: digestOf(manifest),
    mediaType,
  };
}

/** The config that a commit writes, its keys in the order of the format. */
export function configDocument(container: WorkingContainer, options: CommitOptions, inputs: DocumentInputs) {
  return inputs.format === 'oci'
    ? ociImage(container, options, inputs)
    : dockerImage(container, options, inputs);
}

function layerDescriptor(format: 'oci' | 'docker', { diffId, sizeBytes, gzip }: CommittedLayer): Descriptor {
  return {
    mediaType: layerMediaType(format, gzip ? 'gzip' : 'none'),
    digest: gzip?.digest ?? diffId,
    size: gzip?.sizeBytes ?? sizeBytes,
  };
}

function ociImage(container: WorkingContainer, options: CommitOptions, inputs: DocumentInputs) {
  const { ociConfig } = container;
  return ociDocument({
    ...ociConfig,
    created: inputs.created,
    config: finalRuntime(ociConfig.config ?? {}, options),
    rootfs: { type: 'layers', diff_ids: inputs.layers.map((layer) => layer.diffId) },
    history: newHistory(ociConfig, container, options, inputs),
  });
}

function dockerImage(container: WorkingContainer, options: CommitOptions, inputs: DocumentInputs) {
  const { dockerConfig } = container;
  const runtime = finalRuntime(dockerConfig.config ?? {}, options);
  const parent = options.setParent && !options.squash ? parentDigest(container.fromImageId) : '';
  return dockerDocument({
    ...dockerConfig,
    created: inputs.created,
    container: inputs.reproducible ? undefined : container.id,
    docker_version: undefined,
    parent,
    config: inputs.reproducible ? { ...runtime, Hostname: 'sandbox', Domainname: '' } : runtime,
    rootfs: { type: 'layers', diff_ids: inputs.layers.map((layer) => layer.diffId) },
    history: newHistory(dockerConfig, container, options, inputs),
  });
}

function finalRuntime(config: RuntimeConfig, options: CommitOptions): RuntimeConfig {
  const unset = options.unsetEnvironment ?? [];
  const kept = config.Env?.filter((entry) => !unset.some((name) => entry.startsWith(`${name}=`)));
  const changed = { ...config, ...(kept === undefined ? {} : { Env: kept }) };
  return options.changeConfig ? options.changeConfig(changed) : changed;
}

export function imageAnnotations(
  container: WorkingContainer,
  options: CommitOptions,
  created: string,
): Record<string, string> {
  const annotations: Record<string, string> = { ...container.annotations };
  if (options.createdAnnotation === false) delete annotations['org.opencontainers.image.created'];
  else annotations['org.opencontainers.image.created'] = created;
  for (const name of options.unsetAnnotations ?? []) delete annotations[name];
  for (const pair of options.annotations ?? []) {
    const equals = pair.indexOf('=');
    annotations[equals < 0 ? pair : pair.slice(0, equals)] = equals < 0 ? '' : pair.slice(equals + 1);
  }
  return annotations;
}

/** The base's history and our entries; none where it is omitted, or where the base has layers without history. */
function newHistory(
  image: ImageConfig,
  container: WorkingContainer,
  options: CommitOptions,
  inputs: DocumentInputs,
): HistoryEntry[] {
  const inherited = options.squash ? [] : (image.history ?? []);
  const baseSaysNothing =
    container.fromImageId !== '' && !image.history?.length && image.rootfs.diff_ids.length > 0;
  if (options.omitHistory || baseSaysNothing) return [];
  const history = [...inherited, ...ownHistory(image, container, options, inputs)];
  const first = history[inherited.length];
  const comment = fromComment(container);
  if (first && comment)
    history[inherited.length] = {
      ...first,
      comment: first.comment ? `${first.comment} ${comment}` : comment,
    };
  const withLayer = history.filter((entry) => !entry.empty_layer).length;
  if (inherited.length > 0 && withLayer !== inputs.layers.length)
    throw new BuildError(
      'unsupported',
      `committing container "${container.name}": its history lists ${withLayer} layers, but there are ${inputs.layers.length}`,
      { hint: 'commit with --omit-history, or with --squash' },
    );
  return history;
}

function ownHistory(
  image: ImageConfig,
  container: WorkingContainer,
  options: CommitOptions,
  { created, extraLayer, reproducible }: DocumentInputs,
): HistoryEntry[] {
  const empty = (entries: readonly HistoryEntry[]) =>
    entries.map((entry) => ({ ...entry, empty_layer: true }));
  const linked = (layers: readonly { readonly history: HistoryEntry }[] = []) =>
    layers.map((layer) => layer.history);
  const shell = container.dockerConfig.config?.Shell?.join(' ');
  const ours: HistoryEntry = {
    created,
    created_by: container.createdBy || shell || '/bin/sh',
    author: image.author,
    comment: container.historyComment,
    empty_layer: options.emptyLayer && !options.squash,
  };
  const files = extraLayer?.slice(extraLayer.indexOf(':') + 1);
  // A pinned date is that of everything that the container adds.
  const dated = (entries: readonly HistoryEntry[]) =>
    reproducible ? entries.map((entry) => ({ ...entry, created })) : entries;
  return [
    ...dated(empty(container.prependedHistory)),
    ...dated(linked([...container.prependedLayers, ...(options.prependedLayers ?? [])])),
    ...(options.omitLayerHistoryEntry && !options.squash ? [] : [ours]),
    ...(files ? [{ created, created_by: `/bin/sh -c #(nop) ADD dir:${files} in /` }] : []),
    ...dated(empty(container.appendedHistory)),
    ...dated(linked([...(options.appendedLayers ?? []), ...container.appendedLayers])),
  ];
}

/** What the first history entry of a container's image says of its base. */
export function fromComment(container: WorkingContainer): string {
  const { fromImage, fromImageId } = container;
  return fromImageId && fromImage && !fromImageId.startsWith(fromImage) ? `FROM ${fromImage}` : '';
}
