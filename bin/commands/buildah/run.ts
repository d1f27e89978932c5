import { runInContainer } from '../../../build/container/run.ts';
import { saveContainer } from '../../../build/container/state.ts';
import { BuildError } from '../../../build/error.ts';
import { bridgeSettings } from '../../../build/run/bridge/settings.ts';
import { runFailure } from '../../../build/run/failure.ts';
import { prepareIsolation } from '../../../build/run/run.ts';
import { runtimeOf } from '../../../build/run/runtime-name.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../cli/contract.ts';
import { usage } from './arguments.ts';
import { isolationOf, NAMESPACE_FLAGS, namespaceOptions } from './container-flags.ts';
import { containersConfig } from './containers-conf.ts';
import { findContainer } from './containers-in-store.ts';
import { ADD_HISTORY_FLAG, withHistory } from './history.ts';
import { BUILDAH_LEVEL } from './registry-flags.ts';
import { prepareRunMounts } from './run-mounts.ts';
import { openSession } from './session.ts';

const FLAGS: readonly FlagSpec[] = [
  ADD_HISTORY_FLAG,
  ...NAMESPACE_FLAGS,
  { name: 'cap-add', kind: 'slice', usage: 'add a capability' },
  { name: 'cap-drop', kind: 'slice', usage: 'drop a capability' },
  { name: 'cdi-config-dir', kind: 'string', usage: 'directory of CDI configuration', hidden: true },
  { name: 'contextdir', kind: 'string', usage: 'directory that bind mounts are below' },
  { name: 'device', kind: 'array', usage: 'make a device available, `HOST[:CONTAINER[:PERMISSIONS]]`' },
  {
    name: 'env',
    short: 'e',
    kind: 'array',
    usage: 'set `NAME=VALUE` for this command; `NAME` takes the own value',
  },
  { name: 'hostname', kind: 'string', usage: 'host name inside' },
  {
    name: 'isolation',
    kind: 'string',
    usage: 'how to isolate: oci, rootless or chroot; BUILDAH_ISOLATION names it too',
  },
  { name: 'mount', kind: 'array', usage: 'mount for this command, `type=bind,source=…,target=…`' },
  { name: 'no-hostname', kind: 'bool', usage: "leave the image's /etc/hostname alone" },
  { name: 'no-hosts', kind: 'bool', usage: "leave the image's /etc/hosts alone" },
  { name: 'no-pivot', kind: 'bool', usage: 'do not use pivot_root' },
  { name: 'runtime', kind: 'string', usage: 'OCI runtime to use; BUILDAH_RUNTIME names it too' },
  { name: 'runtime-flag', kind: 'slice', usage: 'flag for the runtime, without its dashes' },
  { name: 'terminal', short: 't', kind: 'bool', usage: 'allocate a terminal' },
  { name: 'tty', kind: 'bool', usage: 'the same as --terminal' },
  { name: 'user', kind: 'string', usage: 'run as `USER[:GROUP]`' },
  { name: 'valid-exit-codes', kind: 'slice', usage: 'exit codes that count as success (default 0)' },
  { name: 'volume', short: 'v', kind: 'array', usage: 'bind mount, `HOST:CONTAINER[:OPTIONS]`' },
  { name: 'workingdir', kind: 'string', usage: 'working directory of this command' },
];

export const run: CommandSpec = {
  name: 'run',
  summary: 'Run a command inside a working container',
  usage: '[flags] CONTAINER COMMAND [ARGUMENT...]',
  examples: ['buildah run work -- ls -l /', 'buildah run --volume /src:/src:ro work make'],
  flags: FLAGS,
  interspersed: false,
  run: runRun,
};

async function runRun(context: CommandContext): Promise<number> {
  const { flags, args, io } = context;
  const [name, ...rest] = args;
  if (name === undefined) throw usage('container ID must be specified');
  const words = rest[0] === '--' ? rest.slice(1) : rest;
  if (words.length === 0) throw usage('command must be specified');
  const { namespaces, network } = namespaceOptions(flags);
  checkNetwork(context, namespaces);
  const validCodes = flags.list('valid-exit-codes').map(exitCodeOf);
  const isolation =
    flags.changed('isolation') || io.environment.BUILDAH_ISOLATION ? isolationOf(context) : undefined;
  const terminal = terminalOf(context);
  if (isolation && !terminal) await prepareIsolation(isolation);
  await using session = await openSession(context, { flags: FLAGS });
  const container = await findContainer(session, name);
  await using mounts = await prepareRunMounts(context, session, container);
  const config = await containersConfig(context);
  const { exitCode, signal } = await runInContainer(session.surroundings, container, words, {
    environment: [...referenced(context), ...mounts.environment],
    user: flags.string('user') || undefined,
    workingDirectory: flags.string('workingdir') || undefined,
    hostname: flags.string('hostname') || undefined,
    isolation,
    runtime: runtimeOf(config.engine, flags.string('runtime') || io.environment.BUILDAH_RUNTIME),
    runtimeFlags: flags.list('runtime-flag').map((flag) => `--${flag}`),
    noPivot: flags.bool('no-pivot'),
    cgroupManager: context.globals.string('cgroup-manager'),
    namespaces,
    network,
    capabilitiesAdd: flags.list('cap-add'),
    capabilitiesDrop: flags.list('cap-drop'),
    devices: flags.list('device'),
    cdiDirectory: flags.string('cdi-config-dir') || undefined,
    volumes: flags.list('volume'),
    mounts: mounts.mounts,
    terminal,
    noHosts: flags.bool('no-hosts'),
    noHostname: flags.bool('no-hostname'),
    engine: `buildah-${BUILDAH_LEVEL}`,
    ...configured(config),
  });
  if (!isValid(exitCode, validCodes)) {
    if (exitCode === 0) throw unexpectedSuccess();
    throw runFailure(isolation ?? container.isolation, { exitCode, signal });
  }
  const shell = container.dockerConfig.config?.Shell?.join(' ') || '/bin/sh -c';
  const after = withHistory(context, container, `${shell} ${words.join(' ')}`);
  if (after !== container) await saveContainer(session.store, after);
  return 0;
}

/** What containers.conf adds to every run. */
function configured({ containers, engine, network }: Awaited<ReturnType<typeof containersConfig>>) {
  return {
    hooksDirectories: engine.hooks_dir,
    defaultDns: {
      servers: containers.dns_servers,
      search: containers.dns_searches,
      options: containers.dns_options,
    },
    defaultDevices: containers.devices,
    cdiDirectories: engine.cdi_spec_dirs,
    defaultVolumes: containers.volumes,
    defaultUlimits: containers.default_ulimits,
    sysctls: containers.default_sysctls,
    baseHostsFile: containers.base_hosts_file || undefined,
    hostAddress: containers.host_containers_internal_ip || undefined,
    nameAsHostname: containers.container_name_as_hostname,
    bridge: bridgeSettings({ engine, network }),
  };
}

function unexpectedSuccess(): BuildError {
  return new BuildError('run-failed', 'exit status 0 is not in the valid exit codes list', { exitCode: 125 });
}

function isValid(exitCode: number, valid: readonly number[]): boolean {
  return valid.length === 0 ? exitCode === 0 : valid.includes(exitCode);
}

function exitCodeOf(text: string): number {
  if (/^[+-]?\d{1,9}$/.test(text)) return Number(text);
  throw usage(
    `invalid argument "${text}" for "--valid-exit-codes" flag: strconv.ParseInt: parsing "${text}": invalid syntax`,
  );
}

function terminalOf({ flags, io }: CommandContext): boolean {
  for (const name of ['terminal', 'tty']) if (flags.changed(name)) return flags.bool(name);
  return (io.stdinIsTerminal ?? io.stdin.isTTY ?? false) && (io.stdout.isTTY ?? false);
}

/** `--env NAME` takes the variable of this process, and nothing where it is not set. */
function referenced({ flags, io }: CommandContext): string[] {
  return flags.list('env').flatMap((text) => {
    if (text.includes('=')) return [text];
    if (text.endsWith('*')) {
      const prefix = text.slice(0, -1);
      return Object.entries(io.environment).flatMap(([name, value]) =>
        name.startsWith(prefix) && value !== undefined ? [`${name}=${value}`] : [],
      );
    }
    const value = io.environment[text];
    return value === undefined ? [] : [`${text}=${value}`];
  });
}

function checkNetwork(
  context: CommandContext,
  namespaces: ReturnType<typeof namespaceOptions>['namespaces'],
): void {
  const { flags } = context;
  if (!(flags.changed('network') || flags.changed('net')) || !flags.changed('isolation')) return;
  const network = namespaces?.find((option) => option.Name === 'network');
  if (isolationOf(context) === 'chroot' && network && !network.Host)
    throw usage(`cannot set --network other than host with --isolation ${flags.string('isolation')}`);
}
