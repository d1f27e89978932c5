import { isAbsolute } from 'node:path';
import { SlipwayError } from '../../errors.ts';
import { isOrdinaryUser } from '../../store/layer/owner-override.ts';
import { BuildError } from '../error.ts';
import type { BridgeSettings } from './bridge/settings.ts';
import type { RunRequest } from './contract.ts';
import type { NetworkOffer } from './generated-files.ts';
import { readHostFacts } from './host.ts';
import type { PrivateNetwork } from './private-network.ts';

type RequestedNetwork = RunRequest['network'];

/** The network that a run gets, and what is written of it into its files. */
export interface ConnectedNetwork {
  readonly request: RequestedNetwork;
  readonly offer?: NetworkOffer;
}

/** The network of a namespace option as containers store it, which is `--network` with its `none` set aside. */
export function requestedNetwork(
  option: { readonly Host: boolean; readonly Path: string } | undefined,
  policy: 'default' | 'disabled' | 'enabled' | undefined,
  bridge: BridgeSettings | undefined,
): RequestedNetwork {
  const { Host = false, Path = '' } = option ?? {};
  if (Host) return { mode: 'host' };
  if (isAbsolute(Path)) return { mode: 'private', path: Path };
  const strict = option !== undefined && policy === 'enabled';
  return { mode: 'private', strict, ...parseNetworkName(Path), ...(bridge ? { bridge } : {}) };
}

/** Words for the default network, which Podman gives to no other. */
const ALIASES: readonly string[] = ['bridge', 'default'];

/**
 * What `--network` names beyond host, none and private: networks, separated by commas, or a user-mode stack with its
 * options.
 */
function parseNetworkName(text: string): Pick<RequestedNetwork, 'names' | 'options'> {
  if (text === '' || ALIASES.includes(text)) return {};
  const colon = text.indexOf(':');
  const name = colon < 0 ? text : text.slice(0, colon);
  if (name === 'pasta') return { options: colon < 0 ? [] : text.slice(colon + 1).split(',') };
  return { names: text.split(',') };
}

/**
 * Gets a run its network: networks of netavark for root, else a namespace with a user-mode stack. Chroot isolation
 * shares the host's network, as Buildah's. What is made is disposed of with the stack.
 * @returns undefined where the request needs nothing
 * @throws BuildError `bad-option` for unknown networks, `isolation-unavailable` where those named cannot be had
 */
export async function connectNetwork(
  request: RunRequest,
  stack: AsyncDisposableStack,
): Promise<ConnectedNetwork | undefined> {
  const { mode, path, names = [] } = request.network;
  if (mode !== 'private' || path !== undefined || request.isolation === 'chroot') return undefined;
  if (names.length > 0) return connected(stack.use(await openNamed(request)));
  if (request.namespaces?.network === 'host') return { request: { mode: 'host' } };
  const bridge = await openDefault(request);
  return bridge ? connected(stack.use(bridge)) : await openStack(request, stack);
}

function connected(network: PrivateNetwork): ConnectedNetwork {
  return { request: { mode: 'private', path: network.path }, offer: network };
}

async function openNamed(request: RunRequest): Promise<PrivateNetwork> {
  const { bridge, names = [] } = request.network;
  if (!mayMakeBridges(request) || bridge === undefined)
    throw new BuildError('isolation-unavailable', `setup network: cannot use networks as rootless`, {
      hint: `Joining ${names.join(', ')} needs root and --isolation oci; an ordinary user's networks live in a namespace of Podman's own.`,
    });
  try {
    const { openBridgeNetwork } = await import('./bridge/open.ts');
    return await openBridgeNetwork(request, bridge);
  } catch (cause) {
    request.signal?.throwIfAborted();
    if (!(cause instanceof SlipwayError)) throw cause;
    const isOption = cause instanceof BuildError && cause.code === 'bad-option';
    const { hint } = cause;
    if (isOption) throw new BuildError('bad-option', `setup network: ${cause.message}`, { hint, cause });
    const subject = `setup network ${names.join(',')}`;
    throw new BuildError('isolation-unavailable', `${subject}: ${cause.message}`, { hint, cause });
  }
}

/** Where the default network has failed once it is not tried again, nor complained of. */
const failed = new WeakSet<BridgeSettings>();

/** Undefined where there is no netavark, or where it fails on this host. */
async function openDefault(request: RunRequest): Promise<PrivateNetwork | undefined> {
  const { bridge, options } = request.network;
  if (bridge === undefined || options !== undefined || failed.has(bridge) || !mayMakeBridges(request))
    return undefined;
  const { hasNetavark, openBridgeNetwork } = await import('./bridge/open.ts');
  if (!hasNetavark(bridge)) return undefined;
  try {
    return await openBridgeNetwork(request, bridge);
  } catch (error) {
    request.signal?.throwIfAborted();
    const isOption = error instanceof BuildError && error.code === 'bad-option';
    if (isOption || !(error instanceof Error)) throw error;
    failed.add(bridge);
    request.onWarning?.(
      `the network ${bridge.defaultNetwork} cannot be set up: ${error.message}; using a user-mode network`,
    );
    return undefined;
  }
}

async function openStack(request: RunRequest, stack: AsyncDisposableStack): Promise<ConnectedNetwork> {
  const { openPrivateNetwork } = await import('./private-network.ts');
  try {
    return connected(stack.use(await openPrivateNetwork(request)));
  } catch (error) {
    const isMissing = error instanceof BuildError && error.code === 'isolation-unavailable';
    if (request.network.strict || !isMissing) throw error;
    request.onWarning?.(`${error.message}; sharing the host's network`);
    return { request: { mode: 'host' } };
  }
}

/** Bridges are the host's, which only its own root may change; under `rootless` isolation not even root does. */
function mayMakeBridges({ isolation }: RunRequest): boolean {
  return isolation === 'oci' && !isOrdinaryUser() && !readHostFacts().rootless;
}
