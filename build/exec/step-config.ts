import {
  addOnBuild,
  addPort,
  addVolume,
  changeContainer,
  changeOsFeatures,
  clearAnnotations,
  clearLabels,
  clearOnBuild,
  clearPorts,
  clearVolumes,
  droppedByOci,
  setAnnotation,
  setArchitecture,
  setAuthor,
  setCommand,
  setCreatedBy,
  setDomainname,
  setEntrypoint,
  setEnvironment,
  setHealthcheck,
  setHostname,
  setLabel,
  setOperatingSystem,
  setOsVersion,
  setShell,
  setStopSignal,
  setUser,
  setWorkingDirectory,
  unsetAnnotation,
  unsetEnvironment,
  unsetLabel,
} from '../container/config.ts';
import type { WorkingContainer } from '../container/contract.ts';
import type { StageState } from '../plan/stage-state.ts';
import { assignedValue, nameOf } from '../plan/variables.ts';
import type { BuildOptions } from './options.ts';

/** Says which version built an image. */
export const IDENTITY_LABEL = 'io.buildah.version';

/** What a commit of a step writes beyond the stage's own configuration. */
export interface StepCommit {
  readonly createdBy: string;
  /** Empty for an intermediate image, which gets the layer labels. */
  readonly name: string;
  /** The last instruction of the last stage: annotations are changed there alone. */
  readonly isLastStep: boolean;
}

/** The container with the stage's configuration as it stands, ready to be committed. */
export function configuredContainer(
  container: WorkingContainer,
  state: StageState,
  options: BuildOptions,
  commit: StepCommit,
): WorkingContainer {
  const { config } = state;
  const changed = changeContainer(
    container,
    ...(state.author ? [setAuthor(state.author)] : []),
    setCreatedBy(commit.createdBy),
    setHostname(config.Hostname),
    setDomainname(config.Domainname),
    ...platformChanges(options),
    setUser(config.User),
    clearPorts(),
    ...Object.keys(config.ExposedPorts).map(addPort),
    ...config.Env.map((entry) => setEnvironment(nameOf(entry), assignedValue(entry))),
    ...(options.unsetEnvironment ?? []).map(unsetEnvironment),
    setCommand(config.Cmd),
    clearVolumes(),
    ...Object.keys(config.Volumes).map(addVolume),
    clearOnBuild(),
    ...config.OnBuild.map(addOnBuild),
    setWorkingDirectory(config.WorkingDir),
    // Docker's form of an image that was built has a list here, also where there is nothing in it.
    setEntrypoint(config.Entrypoint ?? []),
    setShell(config.Shell),
    setStopSignal(config.StopSignal),
    setHealthcheck(config.Healthcheck),
    clearLabels(),
  );
  return withAnnotations(withLabels(changed, config.Labels, options, commit), options, commit);
}

function platformChanges(options: BuildOptions) {
  return [
    ...(options.platformGiven
      ? [setArchitecture(options.platform.architecture), setOperatingSystem(options.platform.os)]
      : []),
    ...(options.osVersion ? [setOsVersion(options.osVersion)] : []),
    ...(options.osFeatures ?? []).map(changeOsFeatures),
  ];
}

/** The image says which version built it. */
export function hasIdentity(options: BuildOptions): boolean {
  const timeless = options.timestampSeconds === undefined && options.sourceDateEpochSeconds === undefined;
  return options.identityLabel ?? timeless;
}

function withLabels(
  container: WorkingContainer,
  labels: Readonly<Record<string, string>>,
  options: BuildOptions,
  commit: StepCommit,
): WorkingContainer {
  const layerLabels = commit.name === '' ? (options.layerLabels ?? []) : [];
  return changeContainer(
    container,
    ...layerLabels.map((label) => setLabel(nameOf(label), assignedValue(label))),
    ...Object.entries(labels).map(([name, value]) => setLabel(name, value)),
    ...(hasIdentity(options) ? [setLabel(IDENTITY_LABEL, options.builderVersion)] : []),
    ...(options.unsetLabels ?? []).map(unsetLabel),
  );
}

function withAnnotations(
  container: WorkingContainer,
  options: BuildOptions,
  commit: StepCommit,
): WorkingContainer {
  if (!commit.isLastStep) return container;
  return changeContainer(
    container,
    ...(options.inheritAnnotations === false ? [clearAnnotations()] : []),
    ...(options.annotations ?? []).map((pair) => setAnnotation(nameOf(pair), assignedValue(pair))),
    ...(options.unsetAnnotations ?? []).map(unsetAnnotation),
  );
}

/** The warnings about a setting that the chosen format cannot keep. */
export function formatWarnings(
  state: StageState,
  format: 'oci' | 'docker',
  kind: 'shell' | 'healthcheck' | 'onbuild',
): string[] {
  const { Shell, OnBuild } = state.config;
  const value = { shell: `[${Shell.join(' ')}]`, healthcheck: '', onbuild: OnBuild.at(-1) ?? '' }[kind];
  const warning = droppedByOci(format, kind, value);
  return warning === undefined ? [] : [warning];
}
