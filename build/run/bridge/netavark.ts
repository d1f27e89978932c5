import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BuildError } from '../../error.ts';
import type { Lease } from './address-pool.ts';

/** The programs, and what they are told of this host by containers.conf. */
export interface NetavarkPrograms {
  readonly netavark: string;
  /** Resolves names of containers; absent: nobody does. */
  readonly aardvark: string | undefined;
  readonly runDirectory: string;
  /** 0: the usual one. */
  readonly dnsPort: number;
  /** Empty: netavark's choice. */
  readonly firewall: string;
  readonly pluginDirectories: readonly string[];
}

/** What a network gave a container. */
export interface NetworkAnswer {
  readonly addresses: readonly string[];
  readonly resolvers: readonly string[];
}

const SEARCH_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const BUILT_IN_DRIVERS: readonly string[] = ['bridge', 'macvlan', 'ipvlan'];
const LIMIT_BYTES = 1 << 20;

/**
 * Joins a network namespace to networks, or takes it off them. The program runs in a session of its own, so that a
 * terminal's interrupt does not stop it half-way.
 * @param scratch a directory for what the program says
 * @throws BuildError `isolation-unavailable` with what netavark says; the signal's reason when it aborts
 */
export async function callNetavark(
  operation: 'setup' | 'teardown',
  namespace: string,
  leases: readonly Lease[],
  programs: NetavarkPrograms,
  { scratch, signal }: { readonly scratch: string; readonly signal?: AbortSignal },
): Promise<NetworkAnswer> {
  // Files, since a name server that netavark starts would hold pipes open for as long as it runs.
  const places = { answer: join(scratch, 'netavark.json'), complaint: join(scratch, 'netavark.log') };
  using outputs = openOutputs(places.answer, places.complaint);
  const child = spawn(programs.netavark, [...optionsOf(leases, programs), operation, namespace], {
    stdio: ['pipe', ...outputs.descriptors],
    env: environmentOf(programs),
    detached: true,
  });
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(`${JSON.stringify(requestOf(leases))}\n`);
  const code = await endOf(child, signal);
  signal?.throwIfAborted();
  if (code !== 0) throw failed(complaintOf(places));
  return operation === 'setup' ? readAnswer(read(places.answer), leases) : { addresses: [], resolvers: [] };
}

function endOf(child: ChildProcess, signal: AbortSignal | undefined): Promise<number | null> {
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  const stop = () => void child.kill();
  child.once('error', (cause) => reject(failed(cause.message)));
  child.once('exit', resolve);
  signal?.addEventListener('abort', stop, { once: true });
  if (signal?.aborted) stop();
  return promise.finally(() => signal?.removeEventListener('abort', stop));
}

function openOutputs(...paths: readonly string[]): Disposable & { readonly descriptors: readonly number[] } {
  const descriptors = paths.map((path) => openSync(path, 'w', 0o600));
  return {
    descriptors,
    [Symbol.dispose]: () => {
      for (const fd of descriptors) closeSync(fd);
    },
  };
}

function optionsOf(leases: readonly Lease[], programs: NetavarkPrograms): string[] {
  const needsPlugin = leases.some(({ network }) => !BUILT_IN_DRIVERS.includes(network.driver));
  const plugins = needsPlugin ? programs.pluginDirectories : [];
  return [
    ...['--config', programs.runDirectory, '--rootless=false'],
    `--aardvark-binary=${programs.aardvark ?? ''}`,
    ...plugins.flatMap((directory) => ['--plugin-directory', directory]),
  ];
}

function environmentOf({ dnsPort, firewall }: NetavarkPrograms): NodeJS.ProcessEnv {
  return {
    PATH: SEARCH_PATH,
    RUST_LOG: 'netavark=warn',
    ...(dnsPort > 0 ? { NETAVARK_DNS_PORT: String(dnsPort) } : {}),
    ...(firewall ? { NETAVARK_FW: firewall } : {}),
  };
}

function requestOf(leases: readonly Lease[]): Record<string, unknown> {
  const owner = leases[0]?.owner;
  const networks = leases.map(({ network, addresses }, index) => [
    network.name,
    { ...(addresses.length > 0 ? { static_ips: addresses } : {}), interface_name: `eth${index}` },
  ]);
  return {
    container_id: owner,
    container_name: owner,
    networks: Object.fromEntries(networks),
    network_info: Object.fromEntries(leases.map(({ network }) => [network.name, network.document])),
  };
}

interface StatusBlock {
  readonly dns_server_ips?: readonly string[];
  readonly interfaces?: Readonly<
    Record<string, { readonly subnets?: readonly { readonly ipnet: string }[] }>
  >;
}

/** In the order in which the networks were named. */
function readAnswer(text: string, leases: readonly Lease[]): NetworkAnswer {
  const answer = parse(text) as Readonly<Record<string, StatusBlock>> | undefined;
  const blocks = leases.map(({ network }) => answer?.[network.name]);
  if (blocks.some((block) => block === undefined)) throw failed('its answer does not speak of every network');
  const subnets = blocks.flatMap((block) =>
    Object.values(block?.interfaces ?? {}).flatMap((one) => one.subnets ?? []),
  );
  return {
    addresses: subnets.map(({ ipnet }) => String(ipnet).replace(/\/.*/, '')),
    resolvers: blocks.flatMap((block) => block?.dns_server_ips ?? []),
  };
}

/** `{"error": …}` on stdout, else the last line on stderr. */
function complaintOf(places: { readonly answer: string; readonly complaint: string }): string {
  const answer = parse(read(places.answer)) as { readonly error?: unknown } | undefined;
  if (typeof answer?.error === 'string') return oneLine(answer.error);
  return oneLine(read(places.complaint).trim().split('\n').at(-1) ?? '') || 'it ended without a word';
}

function read(path: string): string {
  return readFileSync(path).subarray(0, LIMIT_BYTES).toString('utf8');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) ?? undefined;
  } catch {
    return undefined;
  }
}

function oneLine(text: string): string {
  return text.replaceAll(/[\s\p{Cc}]+/gu, ' ').slice(0, 400);
}

function failed(reason: string): BuildError {
  return new BuildError('isolation-unavailable', `netavark: ${reason}`);
}
