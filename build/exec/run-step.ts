import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hostIds } from '../../store/storage/id-mappings.ts';
import type { WorkingContainer } from '../container/contract.ts';
import { ownHostname } from '../container/hostname.ts';
import { BuildError } from '../error.ts';
import { parseHeredocWord } from '../parse/heredoc.ts';
import type { ResolvedRun } from '../plan/apply.ts';
import { proxyVariables } from '../plan/arguments.ts';
import type { StageState } from '../plan/stage-state.ts';
import type { Stage } from '../plan/stages.ts';
import { mergeEnvironment } from '../plan/variables.ts';
import type { RunMount, RunRequest } from '../run/contract.ts';
import { runFailure } from '../run/failure.ts';
import { runCommand } from '../run/run.ts';
import { resolveUser } from '../run/user.ts';
import { compatVolumes } from './compat-volumes.ts';
import type { StageLog } from './log.ts';
import { prepareMounts } from './mounts/prepare.ts';
import { prepareVolumes } from './mounts/volume.ts';
import { allowedDevices } from './run-devices.ts';
import type { BuildSession } from './session.ts';

/** One RUN of a stage. */
export interface RunOfStage extends ResolvedRun {
  /** The stage has another one behind it. */
  readonly anotherFollows: boolean;
}

interface Mounted {
  readonly container: WorkingContainer;
  readonly rootfs: string;
}

/**
 * Executes one RUN in a mounted container.
 * @throws BuildError `run-failed` with the command's exit code
 */
export async function runStep(
  session: BuildSession,
  stage: Stage,
  state: StageState,
  run: RunOfStage,
  mounted: Mounted,
  log: StageLog,
): Promise<void> {
  const { options } = session;
  const scratch = session.workspace.directory('run');
  const network = networkOf(session, run);
  const { words, mounts: heredocMounts } = commandWords(run, state, scratch);
  await using prepared = await prepareMounts(session, stage, [...run.mounts, ...(options.run.mounts ?? [])], {
    workingDirectory: state.config.WorkingDir,
    scratch,
    idMappings: mounted.container.idMappings,
  });
  const { container, rootfs } = mounted;
  const volumes = await prepareVolumes(options.run.volumes ?? [], {
    scratch,
    owner: () => hostIds(container.idMappings, resolveUser(rootfs, state.config.User)),
  });
  await using cleanup = new AsyncDisposableStack();
  const kept = options.compatVolumes
    ? await compatVolumes(Object.keys(state.config.Volumes), rootfs, {
        scratch,
        cleanup,
        idMappings: container.idMappings,
      })
    : [];
  const settings = settingsOf(session, run, mounted);
  const request: RunRequest = {
    ...settings,
    devices: [...(settings.devices ?? []), ...(await allowedDevices(run.devices, options))],
    stdout: log.output('stdout'),
    stderr: log.output('stderr'),
    rootfs: mounted.rootfs,
    stateDirectory: join(scratch, 'state'),
    args: words,
    environment: mergeEnvironment([...proxies(session), ...run.environment], prepared.environment),
    workingDirectory: state.config.WorkingDir || '/',
    user: state.config.User,
    hostname: state.config.Hostname || ownHostname(mounted.container, options.run.nameAsHostname),
    mounts: [...prepared.mounts, ...heredocMounts, ...volumes, ...kept],
    network,
    namespaces: { ...options.run.namespaces, ...(network.mode === 'host' ? { network: 'host' } : {}) },
    volumes: Object.keys(state.config.Volumes),
    anotherFollows: run.anotherFollows,
  };
  const result = await runCommand(request).finally(() => log.flushOutput());
  if (result.exitCode === 0) return;
  throw runFailure(request.isolation, result);
}

function settingsOf(session: BuildSession, run: ResolvedRun, { container }: Mounted) {
  const { options, surroundings } = session;
  const { run: settings } = options;
  const security = securityOf(session, run);
  return {
    isolation: settings.isolation,
    runtime: settings.runtime,
    runtimeFlags: settings.runtimeFlags,
    dns: settings.dns,
    hosts: settings.noHosts
      ? (false as const)
      : {
          entries: settings.hostEntries ?? [],
          baseFile: settings.baseHostsFile,
          hostAddress: settings.hostAddress,
        },
    hostnameFile: !settings.noHostname,
    capabilities: security.insecure
      ? { add: ['ALL'], drop: [] }
      : { add: settings.capabilitiesAdd, drop: settings.capabilitiesDrop },
    defaultCapabilities: settings.defaultCapabilities,
    securityOptions: security.insecure ? ['seccomp=unconfined', 'unmask=ALL'] : settings.securityOptions,
    devices: settings.devices,
    cdiDirectories: settings.cdiDirectories,
    limits: settings.limits,
    idMappings: container.idMappings,
    mountsFiles: settings.mountsFiles,
    sysctls: settings.sysctls,
    imageAnnotations: container.annotations,
    hooksDirectories: settings.hooksDirectories,
    additionalGroups: settings.groupAdd,
    containerEnv: {
      engine: `buildah-${options.builderVersion}`,
      name: container.name,
      id: container.id,
      image: container.fromImage,
      imageId: container.fromImageId,
    },
    onWarning: surroundings.onWarning,
    stdin: options.stdin ?? ('ignore' as const),
    signal: surroundings.signal,
  };
}

/** `RUN --security=insecure` needs the entitlement, unknown values are refused (SECURITY B06). */
function securityOf(session: BuildSession, run: ResolvedRun): { readonly insecure: boolean } {
  const { security } = run;
  if (security === undefined || security === 'sandbox') return { insecure: false };
  if (security !== 'insecure')
    throw new BuildError('bad-option', `security "${security}" is not valid`, {
      hint: 'sandbox or insecure',
    });
  if (!session.options.entitlements?.includes('security.insecure'))
    throw new BuildError('bad-option', 'RUN --security=insecure is not allowed', {
      hint: 'allow it with --allow security.insecure',
    });
  return { insecure: true };
}

function networkOf(session: BuildSession, run: ResolvedRun): RunRequest['network'] {
  switch (run.network) {
    case 'host':
      return { mode: 'host' };
    case 'none':
      return { mode: 'none' };
    case undefined:
    case 'default':
      return session.options.run.network;
    default:
      throw new BuildError(
        'bad-option',
        `unsupported value "${run.network}" for "RUN --network", must be either "host" or "none"`,
      );
  }
}

/** Proxy variables of the host, below everything else. */
function proxies(session: BuildSession): string[] {
  const { run } = session.options;
  return run.httpProxy === false ? [] : proxyVariables(run.hostEnvironment);
}

/** The words to execute: shell form in the SHELL, a heredoc as script, with its interpreter, or as input. */
function commandWords(
  run: ResolvedRun,
  state: StageState,
  scratch: string,
): { words: readonly string[]; mounts: readonly RunMount[] } {
  if (run.form === 'exec') return { words: run.words, mounts: [] };
  const shell = state.config.Shell.length > 0 ? state.config.Shell : ['/bin/sh', '-c'];
  const line = run.words[0] ?? '';
  const [first] = run.heredocs;
  // An empty RUN leaves the shell without the operand of its -c.
  if (!first) return { words: [...shell, ...run.words], mounts: [] };
  if (!parseHeredocWord(line))
    return {
      words: [...shell, line + run.heredocs.map((heredoc) => `\n${heredoc.content}${heredoc.name}`).join('')],
      mounts: [],
    };
  if (!first.content.startsWith('#!'))
    return { words: [...shell, first.content.replace(/\n$/, '')], mounts: [] };
  const script = scriptMount(first.content, first.name, scratch);
  return { words: [...shell, script.destination], mounts: [script] };
}

function scriptMount(content: string, name: string, scratch: string): RunMount {
  const source = join(scratch, 'heredoc');
  writeFileSync(source, content, { mode: 0o755 });
  chmodSync(source, 0o755);
  return {
    type: 'bind',
    source,
    destination: `/dev/pipes/${name.replaceAll(/[^A-Za-z0-9._-]/g, '_')}`,
    options: ['rbind', 'rprivate', 'ro'],
  };
}
