import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { BuildError } from '../error.ts';
import type { RunRequest } from './contract.ts';
import type { NetworkOffer } from './generated-files.ts';
import { hasDefaultRoute, namespaceAddresses } from './namespace-addresses.ts';
import { complaintsOf, end, holdNamespace, PROGRAM_PATH } from './network-namespace.ts';
import { findProgram } from './programs.ts';
import { type Attempt, PASTA, USER_STACKS } from './user-stacks.ts';

/** A network namespace that reaches the outside, for as long as it is held. */
export interface PrivateNetwork extends AsyncDisposable, NetworkOffer {
  /** For setns(2): `/proc/<pid>/ns/net`. */
  readonly path: string;
}

const READY_TIMEOUT_MS = 5_000;

/** Runs the network stack until its input ends, which this process alone holds. */
const KEEPER = `exec 3<&0
"$@" 3<&- &
stack=$!
{ read -r word <&3; kill "$stack"; } 2>/dev/null &
reader=$!
wait "$stack"
code=$?
kill "$reader" 2>/dev/null
exit "$code"`;

/**
 * Makes a network namespace with a way out through the user-mode stack that works here: pasta, else slirp4netns; pasta
 * alone where it is asked for. This needs neither a bridge nor firewall rules on the host.
 * @throws BuildError `isolation-unavailable` with what each stack said, `bad-option` for a sysctl that cannot be set
 */
export async function openPrivateNetwork(request: RunRequest): Promise<PrivateNetwork> {
  const { options, bridge } = request.network;
  const directories = [...(bridge?.helperDirectories ?? []), ...PROGRAM_PATH.split(':')];
  await using stack = new AsyncDisposableStack();
  const { pid, path } = stack.use(await holdNamespace(request.sysctls ?? []));
  const reasons: string[] = [];
  for (const { name, attempts } of options === undefined ? USER_STACKS : [PASTA]) {
    const program = findProgram(name, directories);
    if (program === undefined) continue;
    const tries = attempts(pid, [...(bridge?.pastaOptions ?? []), ...(options ?? [])]);
    const found = await firstThatWorks(program, tries, pid, request.signal);
    if (typeof found === 'string') {
      reasons.push(`${name}: ${found}`);
      continue;
    }
    stack.defer(() => end(found.keeper));
    const held = stack.move();
    return { path, ...found.offer, [Symbol.asyncDispose]: () => held.disposeAsync() };
  }
  const none = options === undefined ? 'neither pasta nor slirp4netns is installed' : 'could not find pasta';
  throw new BuildError('isolation-unavailable', `no private network: ${reasons.join('; ') || none}`, {
    hint: 'Use --network host, or --network none.',
  });
}

/** What a stack that runs offers, or what the last that did not run said. */
async function firstThatWorks(
  program: string,
  attempts: readonly Attempt[],
  pid: number,
  signal: AbortSignal | undefined,
): Promise<{ readonly keeper: ChildProcess; readonly offer: Omit<NetworkOffer, 'isBridge'> } | string> {
  let said = '';
  for (const { words, resolvers, host } of attempts) {
    const keeper = keep(program, words);
    const complaint = complaintsOf(keeper);
    const addresses = await addressesOnceUp(pid, keeper, signal).catch(async (error: unknown) => {
      await end(keeper);
      throw error;
    });
    if (addresses !== undefined)
      return { keeper, offer: { resolvers: reachable(resolvers, addresses), addresses, host } };
    await end(keeper);
    said = complaint() || 'no route came up';
  }
  return said;
}

function keep(program: string, words: readonly string[]): ChildProcess {
  return spawn('/bin/sh', ['-c', KEEPER, 'sh', program, ...words], {
    stdio: ['pipe', 'ignore', 'pipe'],
    env: { PATH: PROGRAM_PATH },
    detached: true,
  });
}

const isIpv6 = (address: string) => address.includes(':');

/** The resolvers of whose family the namespace has an address. */
function reachable(resolvers: readonly string[], addresses: readonly string[]): string[] {
  return resolvers.filter((resolver) => addresses.some((address) => isIpv6(address) === isIpv6(resolver)));
}

/** Waits until the namespace has a default route; gives its addresses, or undefined where the stack has given up. */
async function addressesOnceUp(
  pid: number,
  keeper: ChildProcess,
  signal: AbortSignal | undefined,
): Promise<string[] | undefined> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  let before = '';
  while (keeper.exitCode === null && keeper.signalCode === null && performance.now() < deadline) {
    signal?.throwIfAborted();
    const addresses = hasDefaultRoute(pid) ? namespaceAddresses(pid) : [];
    // Those of the other family may come right after.
    if (addresses.length > 0 && addresses.join() === before) return addresses;
    before = addresses.join();
    await sleep(5);
  }
  return undefined;
}
