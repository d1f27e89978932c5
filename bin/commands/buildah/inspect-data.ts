import type { WorkingContainer } from '../../../build/container/contract.ts';
import { dockerDocument, historyDocument, ociDocument } from '../../../build/container/documents.ts';
import { CONTAINER_TYPE, formatState } from '../../../build/container/state.ts';
import type { Healthcheck, HistoryEntry, ImageConfig, RuntimeConfig } from '../../../image/config.ts';
import { shownAs } from '../../cli/template/format.ts';
import { GoDuration } from '../../cli/template/go-duration.ts';
import { GoTime } from '../../cli/template/go-time.ts';

/**
 * The fields that `buildah inspect` shows, under the names of its Go struct. For templates the image documents have
 * Go field names (`.OCIv1.Config.Env`) and maps are Maps; for JSON they have the documents' own keys.
 */
export function inspectData(container: WorkingContainer, form: 'json' | 'template'): Record<string, unknown> {
  const state = formatState(container);
  const text = (bytes: Uint8Array | undefined) => (bytes ? Buffer.from(bytes).toString('utf8') : '');
  const oci = ociDocument(container.ociConfig);
  const docker = dockerDocument(container.dockerConfig);
  return {
    Type: CONTAINER_TYPE,
    FromImage: container.fromImage,
    FromImageID: container.fromImageId,
    FromImageDigest: container.fromImageDigest ?? '',
    GroupAdd: container.groupAdd.length ? container.groupAdd : null,
    Config: text(container.sourceConfig),
    Manifest: text(container.sourceManifest),
    Container: container.name,
    ContainerID: container.id,
    MountPoint: container.mountPoint ?? '',
    ProcessLabel: container.processLabel ?? '',
    MountLabel: container.mountLabel ?? '',
    ImageAnnotations: new Map(Object.entries(container.annotations)),
    ImageCreatedBy: container.createdBy,
    OCIv1: form === 'json' ? oci : templateImage(container.ociConfig, 'oci', oci),
    Docker: form === 'json' ? docker : templateImage(container.dockerConfig, 'docker', docker),
    DefaultMountsFilePath: container.defaultMountsFile,
    Isolation: container.isolation,
    NamespaceOptions: container.namespaces,
    Capabilities: container.capabilities.length ? [...container.capabilities].sort() : null,
    ConfigureNetwork: `Network${container.network[0]?.toUpperCase()}${container.network.slice(1)}`,
    CNIPluginPath: '',
    CNIConfigDir: '',
    IDMappingOptions: state.IDMappingOptions,
    History: historyOf(container, form),
    Devices: null,
    DeviceSpecs: container.id || container.devices.length ? container.devices : null,
    CDIConfigDir: container.cdiDirectory ?? '',
  };
}

function historyOf(container: WorkingContainer, form: 'json' | 'template'): unknown {
  const all = [
    ...(container.ociConfig.history ?? []),
    ...container.prependedHistory,
    ...container.appendedHistory,
  ];
  const documents = all.map((entry) => historyDocument(entry));
  if (form === 'template') return all.map((entry, at) => templateHistory(entry, documents[at]));
  return all.length === 0 ? null : documents;
}

function templateHistory(entry: HistoryEntry, document: unknown): Record<string, unknown> {
  const fields = {
    Created: entry.created === undefined ? null : new GoTime(entry.created),
    CreatedBy: entry.created_by ?? '',
    Author: entry.author ?? '',
    Comment: entry.comment ?? '',
    EmptyLayer: entry.empty_layer ?? false,
  };
  return shownAs(document, fields);
}

function templateImage(
  image: ImageConfig,
  form: 'oci' | 'docker',
  document: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const runtime = shownAs(document.config, templateRuntime(image.config ?? {}, form));
  const history = (document.history ?? []) as readonly unknown[];
  const docker = image as ImageConfig & { readonly comment?: string; readonly id?: string };
  const fields = {
    ...(form === 'docker'
      ? {
          ID: docker.id ?? '',
          Parent: image.parent ?? '',
          Comment: docker.comment ?? '',
          Container: image.container ?? '',
          ContainerConfig: runtime,
          DockerVersion: image.docker_version ?? '',
        }
      : {}),
    Created: image.created === undefined ? null : new GoTime(image.created),
    Author: image.author ?? '',
    Architecture: image.architecture,
    Variant: image.variant ?? '',
    OS: image.os,
    OSVersion: image['os.version'] ?? '',
    OSFeatures: image['os.features'] ?? [],
    Config: runtime,
    RootFS: shownAs(document.rootfs, { Type: image.rootfs.type, DiffIDs: image.rootfs.diff_ids }),
    History: (image.history ?? []).map((entry, at) => templateHistory(entry, history[at])),
  };
  return shownAs(document, fields);
}

function templateRuntime(config: RuntimeConfig, form: 'oci' | 'docker'): Record<string, unknown> {
  const map = (value: Readonly<Record<string, unknown>> | null | undefined) =>
    new Map(Object.entries(value ?? {}).map(([key, item]) => [key, item]));
  const common = {
    User: config.User ?? '',
    ExposedPorts: map(config.ExposedPorts),
    Env: config.Env ?? [],
    Entrypoint: config.Entrypoint ?? [],
    Cmd: config.Cmd ?? [],
    Volumes: map(config.Volumes),
    WorkingDir: config.WorkingDir ?? '',
    Labels: map(config.Labels),
    StopSignal: config.StopSignal ?? '',
    ArgsEscaped: config.ArgsEscaped ?? false,
  };
  if (form === 'oci') return common;
  // In the order of Docker's struct, which shows where one is printed whole.
  return {
    Hostname: config.Hostname ?? '',
    Domainname: config.Domainname ?? '',
    User: common.User,
    AttachStdin: false,
    AttachStdout: false,
    AttachStderr: false,
    ExposedPorts: common.ExposedPorts,
    Tty: false,
    OpenStdin: false,
    StdinOnce: false,
    Env: common.Env,
    Cmd: common.Cmd,
    Healthcheck: config.Healthcheck ? templateHealthcheck(config.Healthcheck) : null,
    ArgsEscaped: common.ArgsEscaped,
    Image: (config as { readonly Image?: string }).Image ?? '',
    Volumes: common.Volumes,
    WorkingDir: common.WorkingDir,
    Entrypoint: common.Entrypoint,
    NetworkDisabled: false,
    MacAddress: '',
    OnBuild: config.OnBuild ?? [],
    Labels: common.Labels,
    StopSignal: common.StopSignal,
    StopTimeout: null,
    Shell: config.Shell ?? [],
  };
}

function templateHealthcheck(check: Healthcheck): Record<string, unknown> {
  const fields = {
    Test: check.Test ?? [],
    Interval: new GoDuration(check.Interval ?? 0),
    Timeout: new GoDuration(check.Timeout ?? 0),
    StartPeriod: new GoDuration(check.StartPeriod ?? 0),
    StartInterval: new GoDuration(check.StartInterval ?? 0),
    Retries: check.Retries ?? 0,
  };
  return shownAs(check, fields);
}
