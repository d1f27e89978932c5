import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { BuildError } from '../error.ts';
import type { RunRequest } from './contract.ts';
import { hostAddress } from './network-files.ts';
import { complaintsOf, end, holdNamespace, PROGRAM_PATH } from './network-namespace.ts';
import { findProgram } from './programs.ts';

/** A network namespace that reaches the outside, for as long as it is held. */
export interface PrivateNetwork extends AsyncDisposable {
  /** For setns(2): `/proc/<pid>/ns/net`. */
  readonly path: string;
  /** Resolvers that the network offers to the container. */
  readonly resolvers: readonly string[];
  /** Those of the container in it. */
  readonly addresses: readonly string[];
  /** Where the resolvers are asked instead of the host's, if there are any: on a bridge, by netavark. */
  readonly isBridge?: boolean;
}

/** A user-mode network stack that is given a namespace by the id of a process in it. */
interface Stack {
  readonly name: string;
  readonly resolvers: readonly string[];
  readonly address: () => string | undefined;
  readonly command: (pid: number, options: readonly string[]) => string[];
}

/** Addresses are those that the programs' manuals give for these options. */
const STACKS: readonly Stack[] = [
  {
    name: 'pasta',
    resolvers: ['169.254.1.1'],
    address: hostAddress,
    command: (pid, options) => [
      ...[
        '--config-net',
        '--dns-forward',
        '169.254.1.1',
        '-t',
        'none',
        '-u',
        'none',
        '-T',
        'none',
        '-U',
        'none',
      ],
      // Not an option of pasta but Buildah's word for leaving one out.
      ...(options.includes('--map-gw') ? [] : ['--no-map-gw']),
      ...['--quiet', '--foreground', ...options.filter((option) => option !== '--map-gw')],
      ...['--netns', `/proc/${pid}/ns/net`],
    ],
  },
  {
    name: 'slirp4netns',
    resolvers: ['10.0.2.3'],
    address: () => '10.0.2.100',
    command: (pid) => ['--configure', '--mtu=65520', '--disable-host-loopback', String(pid), 'tap0'],
  },
];
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
 * Makes a network namespace with a way out through the user-mode stack that works here: pasta, else slirp4netns.
 * This needs neither a bridge nor firewall rules on the host.
 * @throws BuildError `isolation-unavailable` with what each stack said, `bad-option` for a sysctl that cannot be set
 */
export async function openPrivateNetwork(request: RunRequest): Promise<PrivateNetwork> {
  await using stack = new AsyncDisposableStack();
  const { pid, path } = stack.use(await holdNamespace(request.sysctls ?? []));
  const reasons: string[] = [];
  for (const candidate of STACKS) {
    const program = findProgram(candidate.name, PROGRAM_PATH.split(':'));
    if (program === undefined) continue;
    const keeper = spawn(
      '/bin/sh',
      ['-c', KEEPER, 'sh', program, ...candidate.command(pid, request.network.options ?? [])],
      {
        stdio: ['pipe', 'ignore', 'pipe'],
        env: { PATH: PROGRAM_PATH },
        detached: true,
      },
    );
    const complaint = complaintsOf(keeper);
    if (await hasRoute(pid, keeper, request.signal)) {
      stack.defer(() => end(keeper));
      const held = stack.move();
      return {
        path,
        resolvers: candidate.resolvers,
        addresses: [candidate.address()].filter((address) => address !== undefined),
        [Symbol.asyncDispose]: () => held.disposeAsync(),
      };
    }
    await end(keeper);
    reasons.push(`${candidate.name}: ${complaint() || 'no route came up'}`);
  }
  const reason = reasons.join('; ') || 'neither pasta nor slirp4netns is installed';
  throw new BuildError('isolation-unavailable', `no private network: ${reason}`, {
    hint: 'Use --network host, or --network none.',
  });
}

/** Waits until the namespace has a default route, or the stack has given up. */
async function hasRoute(
  pid: number,
  keeper: ChildProcess,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  while (keeper.exitCode === null && keeper.signalCode === null && performance.now() < deadline) {
    signal?.throwIfAborted();
    const routes = readFileSync(`/proc/${pid}/net/route`, 'utf8').trimEnd().split('\n').slice(1);
    if (routes.some((line) => line.split('\t')[1] === '00000000')) return true;
    await sleep(5);
  }
  return false;
}
