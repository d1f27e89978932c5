import type { Healthcheck, HistoryEntry, ImageConfig, RuntimeConfig } from '../../image/config.ts';
import type { Platform } from '../../image/platform.ts';
import type { WorkingContainer } from './contract.ts';

// Changes of a working container's configuration: each takes a container and gives a new one, with the OCI and the
// Docker form kept in step. What only Docker's format can hold is kept in the Docker form alone.

type Change = (container: WorkingContainer) => WorkingContainer;

/** Applies changes in order. */
export function changeContainer(
  container: WorkingContainer,
  ...changes: readonly Change[]
): WorkingContainer {
  return changes.reduce((current, change) => change(current), container);
}

/** The same edit of the runtime part in both forms. */
export function editRuntime(edit: (config: RuntimeConfig) => RuntimeConfig): Change {
  return (container) => ({
    ...container,
    ociConfig: withRuntime(container.ociConfig, edit),
    dockerConfig: withRuntime(container.dockerConfig, edit),
  });
}

function editDocker(edit: (config: RuntimeConfig) => RuntimeConfig): Change {
  return (container) => ({ ...container, dockerConfig: withRuntime(container.dockerConfig, edit) });
}

function withRuntime(image: ImageConfig, edit: (config: RuntimeConfig) => RuntimeConfig): ImageConfig {
  return { ...image, config: edit(image.config ?? {}) };
}

function editBoth(edit: Partial<ImageConfig>): Change {
  return (container) => ({
    ...container,
    ociConfig: { ...container.ociConfig, ...edit },
    dockerConfig: { ...container.dockerConfig, ...edit },
  });
}

export const setUser = (user: string) => editRuntime((config) => ({ ...config, User: user }));
export const setWorkingDirectory = (path: string) =>
  editRuntime((config) => ({ ...config, WorkingDir: path }));
export const setCommand = (words: readonly string[] | null) =>
  editRuntime((config) => ({ ...config, Cmd: words }));
export const setEntrypoint = (words: readonly string[] | null) =>
  editRuntime((config) => ({ ...config, Entrypoint: words }));
export const setStopSignal = (signal: string) => editRuntime((config) => ({ ...config, StopSignal: signal }));

/** Sets one variable; one that is there already moves to the end, as in Buildah. */
export const setEnvironment = (name: string, value: string) =>
  editRuntime((config) => ({ ...config, Env: [...withoutVariable(config.Env, name), `${name}=${value}`] }));
export const unsetEnvironment = (name: string) =>
  editRuntime((config) => ({ ...config, Env: withoutVariable(config.Env, name) }));
export const clearEnvironment = () => editRuntime((config) => ({ ...config, Env: [] }));

function withoutVariable(list: readonly string[] | null | undefined, name: string): string[] {
  return (list ?? []).filter((entry) => !entry.startsWith(`${name}=`));
}

type MapKey = 'Labels' | 'ExposedPorts' | 'Volumes';

const setKey = (map: MapKey, key: string, value: string | object) =>
  editRuntime((config) => ({ ...config, [map]: { ...config[map], [key]: value } }));
const removeKey = (map: MapKey, key: string) =>
  editRuntime((config) => ({
    ...config,
    [map]: Object.fromEntries(Object.entries(config[map] ?? {}).filter(([name]) => name !== key)),
  }));
const clearKeys = (map: MapKey) => editRuntime((config) => ({ ...config, [map]: {} }));

export const setLabel = (name: string, value: string) => setKey('Labels', name, value);
export const unsetLabel = (name: string) => removeKey('Labels', name);
export const clearLabels = () => clearKeys('Labels');
export const addPort = (port: string) => setKey('ExposedPorts', port, {});
export const removePort = (port: string) => removeKey('ExposedPorts', port);
export const clearPorts = () => clearKeys('ExposedPorts');
export const addVolume = (path: string) => setKey('Volumes', path, {});
export const removeVolume = (path: string) => removeKey('Volumes', path);
export const clearVolumes = () => clearKeys('Volumes');

export const setShell = (words: readonly string[]) => editDocker((config) => ({ ...config, Shell: words }));
export const setHostname = (name: string) => editDocker((config) => ({ ...config, Hostname: name }));
export const setDomainname = (name: string) => editDocker((config) => ({ ...config, Domainname: name }));
export const setHealthcheck = (check: Healthcheck | undefined) =>
  editDocker((config) => ({ ...config, Healthcheck: check }));
export const addOnBuild = (instruction: string) =>
  editDocker((config) => ({ ...config, OnBuild: [...(config.OnBuild ?? []), instruction] }));
export const clearOnBuild = () => editDocker((config) => ({ ...config, OnBuild: [] }));

export const setAuthor = (author: string) => editBoth({ author });
export const setPlatform = (platform: Platform) =>
  editBoth({ os: platform.os, architecture: platform.architecture, variant: platform.variant });
export const setOperatingSystem = (os: string) => editBoth({ os });
export const setArchitecture = (architecture: string) => editBoth({ architecture });
export const setVariant = (variant: string) => editBoth({ variant });
export const setOsVersion = (version: string) => editBoth({ 'os.version': version });

/** `feature` is added, `feature-` removed, and `-` removes all, as `buildah config --os-feature` reads it. */
export function changeOsFeatures(text: string): Change {
  return (container) => {
    const now = container.ociConfig['os.features'] ?? [];
    const name = text.replace(/-$/, '');
    const next =
      text === '-'
        ? []
        : text.endsWith('-')
          ? now.filter((entry) => entry !== name)
          : [...new Set([...now, text])];
    return editBoth({ 'os.features': next })(container);
  };
}

/** Docker's `comment`; the OCI format has none. */
export const setComment =
  (comment: string): Change =>
  (container) => ({
    ...container,
    dockerConfig: { ...container.dockerConfig, comment } as ImageConfig,
  });

export const setAnnotation =
  (name: string, value: string): Change =>
  (container) => ({ ...container, annotations: { ...container.annotations, [name]: value } });
export const unsetAnnotation =
  (name: string): Change =>
  (container) => ({
    ...container,
    annotations: Object.fromEntries(Object.entries(container.annotations).filter(([key]) => key !== name)),
  });
export const clearAnnotations = (): Change => (container) => ({ ...container, annotations: {} });

export const setCreatedBy =
  (createdBy: string): Change =>
  (container) => ({ ...container, createdBy });
export const setHistoryComment =
  (historyComment: string): Change =>
  (container) => ({ ...container, historyComment });
export const prependHistory =
  (entry: HistoryEntry): Change =>
  (container) => ({
    ...container,
    prependedHistory: [...container.prependedHistory, { ...entry, empty_layer: true }],
  });
export const appendHistory =
  (entry: HistoryEntry): Change =>
  (container) => ({
    ...container,
    appendedHistory: [...container.appendedHistory, { ...entry, empty_layer: true }],
  });

/** The warning for a setting that the OCI format drops; undefined when the format is Docker's. Wording as Buildah's, which scripts grep. */
export function droppedByOci(
  format: 'oci' | 'docker',
  what: 'healthcheck' | 'shell' | 'onbuild' | 'domainname' | 'comment',
  value = '',
): string | undefined {
  if (format === 'docker') return undefined;
  const advice = 'Must use `docker` format';
  switch (what) {
    case 'healthcheck':
      return `HEALTHCHECK is not supported for OCI image format and will be ignored. ${advice}`;
    case 'shell':
      return `SHELL is not persisted in the OCI image format, ${value} will be used for later RUN instructions but is not saved. ${advice}`;
    case 'onbuild':
      return `ONBUILD is not supported for OCI image format, ${value} will be ignored. ${advice}`;
    case 'domainname':
      return `DOMAINNAME is not supported for OCI image format, domainname ${value} will be ignored. ${advice}`;
    case 'comment':
      return `COMMENT is not supported for OCI image format, comment ${value} will be ignored. ${advice}`;
  }
}
