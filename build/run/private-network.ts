import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { BuildError } from '../error.ts';
import type { RunRequest } from './contract.ts';
import { hostAddress } from './network-files.ts';

/** A network namespace that reaches the outside, for as long as it is held. */
export interface PrivateNetwork extends AsyncDisposable {
  /** For setns(2): `/proc/<pid>/ns/net`. */
  readonly path: string;
  /** Resolvers that the network offers to the container, before the host's. */
  readonly resolvers: readonly string[];
  readonly address?: string;
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
const PROGRAM_DIRECTORIES = ['/usr/local/bin', '/usr/bin', '/bin', '/usr/sbin', '/sbin'];
const READY_TIMEOUT_MS = 5_000;

/** Sets kernel parameters of the namespace and keeps it; ends when its input does, which this process alone holds. */
const HOLDER = `while [ $# -gt 0 ]; do echo "$2" >"$1" || exit 1; shift 2; done
echo up; exec 1>&-; read -r word`;
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
 * Unlike Buildah as root this needs neither a bridge nor firewall rules on the host.
 * @throws BuildError `isolation-unavailable` with what each stack said, `bad-option` for a sysctl that cannot be set
 */
export async function openPrivateNetwork(request: RunRequest): Promise<PrivateNetwork> {
  const parameters = networkParameters(request.sysctls ?? []);
  const holder = spawn('unshare', ['--net', '--', '/bin/sh', '-c', HOLDER, 'holder', ...parameters], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: PROGRAM_DIRECTORIES.join(':') },
    detached: true,
  });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => end(holder));
  const refusal = collect(holder);
  const isUp = await saysUp(holder);
  if (!isUp && refusal().includes(PARAMETERS))
    throw new BuildError('bad-option', `setting a sysctl: ${refusal()}`);
  if (!isUp)
    throw new BuildError(
      'isolation-unavailable',
      'a private network needs a network namespace, which is refused',
    );
  const pid = holder.pid as number;
  const reasons: string[] = [];
  for (const candidate of STACKS) {
    const program = findProgram(candidate.name);
    if (program === undefined) continue;
    const keeper = spawn(
      '/bin/sh',
      ['-c', KEEPER, 'sh', program, ...candidate.command(pid, request.network.options ?? [])],
      {
        stdio: ['pipe', 'ignore', 'pipe'],
        env: { PATH: PROGRAM_DIRECTORIES.join(':') },
        detached: true,
      },
    );
    const complaint = collect(keeper);
    if (await hasRoute(pid, keeper, request.signal)) {
      stack.defer(() => end(keeper));
      const held = stack.move();
      return {
        path: `/proc/${pid}/ns/net`,
        resolvers: candidate.resolvers,
        address: candidate.address(),
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

const PARAMETERS = '/proc/sys/';

/** Paths and values of the `net.` sysctls. They are set here since a mapped root may not set them in this namespace. */
function networkParameters(sysctls: readonly string[]): string[] {
  return sysctls.flatMap((entry) => {
    const [, name, value = ''] = /^(net\.[\w./-]+)=(.*)$/s.exec(entry) ?? [];
    return name && !name.includes('..') ? [PARAMETERS + name.replaceAll('.', '/'), value] : [];
  });
}

function findProgram(name: string): string | undefined {
  return PROGRAM_DIRECTORIES.map((directory) => `${directory}/${name}`).find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function saysUp(child: ChildProcess): Promise<boolean> {
  return new Promise((resolve) => {
    child.stdout?.once('data', () => resolve(true));
    child.once('close', () => resolve(false));
    child.once('error', () => resolve(false));
  });
}

/** The last line that a program says on stderr, so far. */
function collect(child: ChildProcess): () => string {
  let text = '';
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    text = (text + chunk).slice(-2000);
  });
  return () => text.trim().split('\n').at(-1)?.slice(0, 200) ?? '';
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

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.stdin?.on('error', () => undefined);
  child.stdin?.end();
  await gone;
}
