import { chmodSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ifThere } from '../../errors.ts';
import type { HistoryEntry, ImageConfig } from '../../image/config.ts';
import { tryParseDigest } from '../../image/digest.ts';
import { goJson } from '../../image/go-json.ts';
import { isJsonObject, type JsonObject, parseJsonObject } from '../../image/json.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import type { IdMappings, IdRange } from '../../store/layer/contract.ts';
import type { ContainerRecord, Store } from '../../store/storage/contract.ts';
import { BuildError } from '../error.ts';
import type { IsolationKind } from '../run/contract.ts';
import type { LinkedLayer, NamespaceOption, RunOptions, WorkingContainer } from './contract.ts';
import { dockerDocument, ociDocument } from './documents.ts';

/** Marks a state file as a working container's; Buildah refuses any other value. */
export const CONTAINER_TYPE = 'buildah 0.0.1';
const STATE_FILE = 'buildah.json';
const STATE_LIMIT_BYTES = 64 * 1024 * 1024;
const ISOLATIONS = ['default', 'oci', 'chroot', 'rootless'] as const;
const NETWORKS = ['default', 'disabled', 'enabled'] as const;

/**
 * Opens a working container by id, unique id prefix or name.
 * @throws BuildError `no-such-container` also where the container exists but is not a working container
 */
export async function openContainer(store: Store, idOrName: string): Promise<WorkingContainer> {
  const record = await store.containers.get(idOrName);
  if (!record)
    throw new BuildError('no-such-container', `locating container "${idOrName}": container not known`);
  const container = await readContainer(store, record);
  if (!container)
    throw new BuildError(
      'no-such-container',
      `opening container "${idOrName}": it was not made by buildah (no ${STATE_FILE})`,
    );
  return container;
}

/** The state of a container record; undefined where it is not a working container (one of Podman's, say). */
export async function readContainer(
  store: Store,
  record: ContainerRecord,
): Promise<WorkingContainer | undefined> {
  const path = join(await store.containers.directory(record.id), STATE_FILE);
  const bytes = ifThere(() => readFileSync(path), 'ENOENT');
  if (!bytes) return undefined;
  try {
    return parseState(parseJsonObject(bytes, { what: path, limitBytes: STATE_LIMIT_BYTES }), record);
  } catch (cause) {
    throw new BuildError('no-such-container', `parsing ${path}: ${(cause as Error).message}`, {
      cause,
      hint: `remove the container with: buildah rm ${record.names[0] ?? record.id}`,
    });
  }
}

/** Writes `buildah.json` by rename, readable by the owner alone, as the original does. */
export async function saveContainer(store: Store, container: WorkingContainer): Promise<void> {
  const path = join(await store.containers.directory(container.id), STATE_FILE);
  const temporary = `${path}.tmp-${process.pid}`;
  writeFileSync(temporary, goJson(formatState(container)), { mode: 0o600 });
  chmodSync(temporary, 0o600);
  renameSync(temporary, path);
}

const KNOWN_KEYS = new Set(
  (
    'Args type image image-id image-digest config manifest container-name container-id mountpoint process-label ' +
    'mount-label annotations created-by history-comment ociv1 docker defaultMountsFilePath Isolation ' +
    'NamespaceOptions ConfigureNetwork GroupAdd IDMappingOptions Capabilities PrependedEmptyLayers ' +
    'AppendedEmptyLayers CommonBuildOpts TopLayer Format DeviceSpecs CDIConfigDir PrependedLinkedLayers AppendedLinkedLayers'
  ).split(' '),
);

/** The JSON of `buildah.json`. */
export function formatState(container: WorkingContainer): Record<string, unknown> {
  const { ociConfig, dockerConfig, idMappings } = container;
  return {
    ...container.rest,
    Args: container.args,
    type: CONTAINER_TYPE,
    ...(container.fromImage ? { image: container.fromImage } : {}),
    'image-id': container.fromImageId,
    'image-digest': container.fromImageDigest ?? '',
    ...(container.sourceConfig ? { config: base64(container.sourceConfig) } : {}),
    ...(container.sourceManifest ? { manifest: base64(container.sourceManifest) } : {}),
    'container-name': container.name,
    'container-id': container.id,
    ...(container.mountPoint ? { mountpoint: container.mountPoint } : {}),
    ...(container.processLabel ? { 'process-label': container.processLabel } : {}),
    ...(container.mountLabel ? { 'mount-label': container.mountLabel } : {}),
    annotations: container.annotations,
    ...(container.createdBy ? { 'created-by': container.createdBy } : {}),
    ...(container.historyComment ? { 'history-comment': container.historyComment } : {}),
    ociv1: ociDocument(ociConfig),
    docker: dockerDocument(dockerConfig),
    ...(container.defaultMountsFile ? { defaultMountsFilePath: container.defaultMountsFile } : {}),
    Isolation: ISOLATIONS.indexOf(container.isolation),
    NamespaceOptions: container.namespaces,
    ConfigureNetwork: NETWORKS.indexOf(container.network),
    GroupAdd: container.groupAdd,
    IDMappingOptions: formatMappings(idMappings),
    Capabilities: container.capabilities,
    PrependedEmptyLayers: container.prependedHistory,
    AppendedEmptyLayers: container.appendedHistory,
    CommonBuildOpts: container.runOptions,
    TopLayer: container.topLayer,
    Format: container.preferredFormat === 'oci' ? MEDIA_TYPE.ociManifest : MEDIA_TYPE.dockerManifest,
    DeviceSpecs: container.devices,
    CDIConfigDir: container.cdiDirectory ?? '',
    PrependedLinkedLayers: formatLinked(container.prependedLayers),
    AppendedLinkedLayers: formatLinked(container.appendedLayers),
  };
}

function parseState(json: JsonObject, record: ContainerRecord): WorkingContainer {
  if (json.type !== CONTAINER_TYPE)
    throw new Error(`it is not a buildah container (it is a ${JSON.stringify(json.type ?? '')} container)`);
  const docker = object(json.docker);
  const runtime = isJsonObject(docker.config) ? docker.config : object(docker.container_config);
  const bytes = (value: unknown) =>
    typeof value === 'string' && value ? Buffer.from(value, 'base64') : undefined;
  return {
    id: record.id,
    name: record.names[0] ?? text(json['container-name']),
    layerId: record.layerId,
    fromImage: text(json.image),
    fromImageId: text(json['image-id']),
    fromImageDigest: tryParseDigest(text(json['image-digest'])),
    topLayer: text(json.TopLayer),
    sourceManifest: bytes(json.manifest),
    sourceConfig: bytes(json.config),
    ociConfig: imageConfig(object(json.ociv1)),
    dockerConfig: imageConfig({ ...docker, config: runtime }),
    preferredFormat: text(json.Format).includes('docker') ? 'docker' : 'oci',
    annotations: strings(json.annotations),
    createdBy: text(json['created-by']),
    historyComment: text(json['history-comment']),
    prependedHistory: list<HistoryEntry>(json.PrependedEmptyLayers),
    appendedHistory: list<HistoryEntry>(json.AppendedEmptyLayers),
    prependedLayers: parseLinked(json.PrependedLinkedLayers),
    appendedLayers: parseLinked(json.AppendedLinkedLayers),
    mountPoint: text(json.mountpoint) || undefined,
    processLabel: text(json['process-label']) || undefined,
    mountLabel: text(json['mount-label']) || undefined,
    idMappings: parseMappings(object(json.IDMappingOptions)) ?? record.idMappings,
    isolation: (ISOLATIONS[Number(json.Isolation ?? 0)] ?? 'oci').replace('default', 'oci') as IsolationKind,
    namespaces: list<NamespaceOption>(json.NamespaceOptions),
    network: NETWORKS[Number(json.ConfigureNetwork ?? 0)] ?? 'default',
    capabilities: list<string>(json.Capabilities),
    devices: list<string>(json.DeviceSpecs),
    cdiDirectory: text(json.CDIConfigDir) || undefined,
    groupAdd: list<string>(json.GroupAdd),
    args: strings(json.Args),
    defaultMountsFile: text(json.defaultMountsFilePath),
    runOptions: object(json.CommonBuildOpts) as RunOptions,
    rest: Object.fromEntries(Object.entries(json).filter(([key]) => !KNOWN_KEYS.has(key))),
  };
}

function imageConfig(json: JsonObject): ImageConfig {
  const rootfs = object(json.rootfs);
  return {
    ...json,
    architecture: text(json.architecture),
    os: text(json.os),
    config: object(json.config),
    rootfs: { type: 'layers', diff_ids: list(rootfs.diff_ids) },
    history: list<HistoryEntry>(json.history),
  } as unknown as ImageConfig;
}

function formatMappings(mappings: IdMappings | undefined): Record<string, unknown> {
  const ranges = (list: readonly IdRange[] = []) =>
    list.map(({ containerId, hostId, size }) => ({ containerID: containerId, hostID: hostId, size }));
  return {
    HostUIDMapping: !mappings?.uids.length,
    HostGIDMapping: !mappings?.gids.length,
    UIDMap: ranges(mappings?.uids),
    GIDMap: ranges(mappings?.gids),
    AutoUserNs: false,
    AutoUserNsOpts: {
      Size: 0,
      InitialSize: 0,
      PasswdFile: '',
      GroupFile: '',
      AdditionalUIDMappings: null,
      AdditionalGIDMappings: null,
    },
  };
}

function parseMappings(json: JsonObject): IdMappings | undefined {
  const ranges = (value: unknown): IdRange[] =>
    list<Record<string, unknown>>(value).map((range) => ({
      containerId: Number(range.containerID),
      hostId: Number(range.hostID),
      size: Number(range.size),
    }));
  const mappings = { uids: ranges(json.UIDMap), gids: ranges(json.GIDMap) };
  return mappings.uids.length || mappings.gids.length ? mappings : undefined;
}

function formatLinked(layers: readonly LinkedLayer[]): unknown {
  return layers.length ? layers.map(({ history, path }) => ({ History: history, BlobPath: path })) : null;
}

function parseLinked(value: unknown): LinkedLayer[] {
  return list<JsonObject>(value).map((layer) => ({
    history: object(layer.History) as HistoryEntry,
    path: text(layer.BlobPath),
  }));
}

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');
const text = (value: unknown) => (typeof value === 'string' ? value : '');
const object = (value: unknown): JsonObject => (isJsonObject(value) ? { ...(value as JsonObject) } : {});
const list = <T>(value: unknown): T[] => (Array.isArray(value) ? (value as T[]) : []);
const strings = (value: unknown) => object(value) as Record<string, string>;
