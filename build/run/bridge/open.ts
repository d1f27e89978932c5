import { closeSync, constants, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { BuildError } from '../../error.ts';
import type { RunRequest } from '../contract.ts';
import { holdNamespace } from '../network-namespace.ts';
import type { PrivateNetwork } from '../private-network.ts';
import { findProgram } from '../programs.ts';
import { giveAddressesBack, type Lease, takeAddresses } from './address-pool.ts';
import { callNetavark, type NetavarkPrograms, type NetworkAnswer } from './netavark.ts';
import { lockNetworks } from './network-lock.ts';
import { findNetworks } from './networks.ts';
import { isDeadOwner, newOwner } from './owner.ts';
import { type BridgeSettings, CONFIG_DIRECTORY, LOCK_FILE, RUN_DIRECTORY } from './settings.ts';

/** A run on its way to its networks. */
interface Connection {
  readonly request: RunRequest;
  readonly programs: NetavarkPrograms;
  readonly locks: { readonly current: string; readonly former: string };
  readonly database: string;
  /** The namespace, by a descriptor that outlives every process in it. */
  readonly namespace: string;
}

/**
 * Makes a network namespace and joins it to the networks of a request, through netavark, as root: those it names, else
 * the default one. Disposing of it takes it off them and gives its addresses back.
 * @throws BuildError `isolation-unavailable` where netavark is missing or fails, `bad-option` for an unknown network
 */
export async function openBridgeNetwork(
  request: RunRequest,
  settings: BridgeSettings,
): Promise<PrivateNetwork> {
  const programs = findPrograms(settings);
  const configDirectory = settings.configDirectory || CONFIG_DIRECTORY;
  await using stack = new AsyncDisposableStack();
  const { path } = stack.use(await holdNamespace(request.sysctls ?? []));
  const fd = openSync(path, constants.O_RDONLY);
  stack.defer(() => closeSync(fd));
  mkdirSync(programs.runDirectory, { recursive: true });
  const connection: Connection = {
    request,
    programs,
    locks: {
      current: settings.lockFile ?? LOCK_FILE,
      former: join(configDirectory, 'netavark.lock'),
    },
    database: join(programs.runDirectory, 'ipam.db'),
    namespace: `/proc/${process.pid}/fd/${fd}`,
  };
  const answer = await connect(connection, { ...settings, configDirectory }, stack);
  const held = stack.move();
  return { ...answer, path, isBridge: true, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

async function connect(
  connection: Connection,
  settings: BridgeSettings & { readonly configDirectory: string },
  stack: AsyncDisposableStack,
): Promise<NetworkAnswer> {
  const { request, programs, locks, database, namespace } = connection;
  const { signal, stateDirectory: scratch } = request;
  const onWarning = request.onWarning ?? (() => undefined);
  using _lock = await lockNetworks(locks, signal);
  const names = request.network.names?.length ? request.network.names : [settings.defaultNetwork];
  const networks = findNetworks(names, settings, onWarning);
  if (programs.aardvark === undefined && networks.some((network) => network.dnsEnabled))
    onWarning('aardvark-dns binary not found, container dns will not be enabled');
  const claim = { owner: newOwner(), networks, isDead: isDeadOwner, signal };
  const { own, left } = await takeAddresses(database, claim);
  let isUp = false;
  stack.defer(async () => {
    // The lock of the set-up is not held any more: this runs when the function above has ended.
    using _again = await lockNetworks(locks, undefined);
    await disconnect(connection, own, (reason) => isUp && onWarning(`failed to cleanup network: ${reason}`));
  });
  await forget(connection, left);
  const answer = await callNetavark('setup', namespace, own, programs, { scratch, signal });
  isUp = true;
  return answer;
}

/** The addresses are given back whatever netavark says, since nobody would do it later. */
async function disconnect(
  { request, programs, database, namespace }: Connection,
  leases: readonly Lease[],
  onFailure: (reason: string) => void,
): Promise<void> {
  const scratch = request.stateDirectory;
  try {
    await callNetavark('teardown', namespace, leases, programs, { scratch });
  } catch (error) {
    onFailure((error as Error).message);
  }
  await giveAddressesBack(database, leases).catch((error: Error) => onFailure(error.message));
}

/**
 * Lets the name server forget containers of killed processes. Their namespaces have gone, so this one stands for them:
 * it has no interface yet, which netavark complains of when it has done the rest.
 */
async function forget({ request, programs, namespace }: Connection, left: readonly Lease[]): Promise<void> {
  const owners = Map.groupBy(left, ({ owner }) => owner);
  for (const leases of owners.values())
    await callNetavark('teardown', namespace, leases, programs, { scratch: request.stateDirectory }).catch(
      () => undefined,
    );
}

function findPrograms(settings: BridgeSettings): NetavarkPrograms {
  const { backend, helperDirectories } = settings;
  if (backend !== '' && backend !== 'netavark')
    throw new BuildError(
      'isolation-unavailable',
      `unsupported network backend "${backend}", only netavark is supported`,
    );
  const netavark = findProgram('netavark', helperDirectories);
  if (netavark === undefined)
    throw new BuildError(
      'isolation-unavailable',
      `could not find "netavark" in one of [${helperDirectories.join(' ')}]`,
      { hint: 'Install netavark, or set helper_binaries_dir in containers.conf.' },
    );
  return {
    netavark,
    aardvark: findProgram('aardvark-dns', helperDirectories),
    runDirectory: settings.runDirectory ?? RUN_DIRECTORY,
    dnsPort: settings.dnsPort,
    firewall: settings.firewall,
    pluginDirectories: settings.pluginDirectories,
  };
}

/** Whether bridges are to be had at all, before anything is tried. */
export function hasNetavark({ helperDirectories }: BridgeSettings): boolean {
  return findProgram('netavark', helperDirectories) !== undefined;
}
