import { spawnSync } from 'node:child_process';
import { lstatSync, mkdirSync, readFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import { findProgram } from '../build/run/programs.ts';
import { isSystemError, SlipwayError } from '../errors.ts';
import { loadKoffi } from '../store/kernel/libc.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Names of containers/storage's own, so that its tools and ours recognise each other's user namespaces. */
const MARKER = '_CONTAINERS_USERNS_CONFIGURED';
const ROOTLESS_UID = '_CONTAINERS_ROOTLESS_UID';
const ROOTLESS_GID = '_CONTAINERS_ROOTLESS_GID';
const CAP_SYS_ADMIN = 21n;

export class RootlessError extends SlipwayError<'no-user-namespace'> {}

/** True where this process may neither mount nor change owners, and has not been put into a user namespace yet. */
export function needsUserNamespace(environment: Environment): boolean {
  if (process.platform !== 'linux' || environment[MARKER]) return false;
  if (process.geteuid?.() !== 0) return true;
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return ((BigInt(`0x${effective}`) >> CAP_SYS_ADMIN) & 1n) === 0n;
}

/** Buildah's commands that work, or refuse in their own words, outside a user namespace. */
const OUTSIDE = new Set(['help', 'version', 'completion', 'mount', 'unshare']);

/**
 * What bin/buildah does before anything else: where the command needs it, this process starts again as root of a user
 * namespace. Where the system forbids that, the command goes on as it is: transports and builds without RUN can.
 * @param words the command line behind the tool's name
 */
export function ensureUserNamespace(words: readonly string[], environment: Environment): void {
  if (!needsUserNamespace(environment)) return;
  const asksForHelp = words.some((word) => word === '--help' || word === '-h' || word === '--version');
  const name = words.find((word) => !word.startsWith('-'));
  if (asksForHelp || name === undefined || OUTSIDE.has(name)) return;
  const [program, ...rest] = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const onWarning = (text: string) => process.stderr.write(`${text}\n`);
  try {
    enterUserNamespace({ command: [program as string, ...rest], environment, onWarning });
  } catch (error) {
    if (!(error instanceof RootlessError)) throw error;
    onWarning(`${error.message}; going on without`);
  }
}

/** A range of ids: inside the namespace, outside, how many. */
export interface IdLine {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

export interface NamespaceIds {
  readonly uids: readonly IdLine[];
  readonly gids: readonly IdLine[];
}

/**
 * The ids of a user namespace for this user: root inside is the user, what follows are the ranges of /etc/subuid and
 * /etc/subgid one behind the other.
 */
export function namespaceIds(
  user: { readonly name: string; readonly uid: number; readonly gid: number },
  subuid: string,
  subgid: string,
): NamespaceIds {
  return {
    uids: stack(user.uid, subordinate(subuid, user)),
    gids: stack(user.gid, subordinate(subgid, user)),
  };
}

function subordinate(
  text: string,
  user: { readonly name: string; readonly uid: number },
): { start: number; count: number }[] {
  return text.split('\n').flatMap((line) => {
    const [owner, start, count] = line.split(':');
    if (owner !== user.name && owner !== String(user.uid)) return [];
    if (!/^[0-9]+$/.test(start ?? '') || !/^[1-9][0-9]*$/.test(count ?? '')) return [];
    return [{ start: Number(start), count: Number(count) }];
  });
}

function stack(own: number, ranges: readonly { start: number; count: number }[]): IdLine[] {
  const lines: IdLine[] = [{ inside: 0, outside: own, count: 1 }];
  let inside = 1;
  for (const { start, count } of ranges) {
    lines.push({ inside, outside: start, count });
    inside += count;
  }
  return lines;
}

export interface EnterOptions {
  /** What to execute inside: a program and its arguments. */
  readonly command: readonly [string, ...string[]];
  readonly environment: Environment;
  readonly onWarning: (text: string) => void;
}

/**
 * Replaces this process by `command` in a new user and mount namespace. Linux lets only a process of one thread enter
 * a user namespace, which Node never is; so the process turns into util-linux's `unshare` (same pid, terminal and
 * signals: nothing has to be forwarded and no parent stays behind), while a helper outside writes the id maps.
 * @throws RootlessError where the kernel or the system forbids user namespaces
 */
export function enterUserNamespace({ command, environment, onWarning }: EnterOptions): never {
  const unshare = find('unshare', environment);
  if (unshare === undefined) throw forbidden('the program "unshare" (package util-linux) is not installed');
  const attempt = spawnSync(unshare, ['--user', '--mount', 'true'], { stdio: ['ignore', 'ignore', 'pipe'] });
  if (attempt.status !== 0) throw forbidden(whyForbidden(String(attempt.stderr ?? '').trim()));
  const uid = process.geteuid?.() ?? 0;
  const gid = process.getegid?.() ?? 0;
  const ids = namespaceIds({ name: userName(uid), uid, gid }, text('/etc/subuid'), text('/etc/subgid'));
  const mapped = ids.uids.length > 1 && ids.gids.length > 1 && canMap(environment);
  if (!mapped)
    onWarning(
      'Using rootless single mapping into the namespace. This might break some images. Check /etc/subuid and /etc/subgid for adding sub*ids if not using a network user',
    );
  const pipes = openPipes();
  startMapper(
    mapped ? ids : { uids: ids.uids.slice(0, 1), gids: ids.gids.slice(0, 1) },
    mapped,
    pipes,
    environment,
  );
  const inside: Record<string, string> = {
    [MARKER]: '1',
    [ROOTLESS_UID]: String(uid),
    [ROOTLESS_GID]: String(gid),
  };
  const runtimeDirectory = environment.XDG_RUNTIME_DIR || findRuntimeDirectory(uid);
  if (runtimeDirectory) inside.XDG_RUNTIME_DIR = runtimeDirectory;
  const given = Object.entries(environment).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  const script = `echo unshared >&${ANNOUNCE}
read -r go <&${AWAIT} || exit 125
exec ${ANNOUNCE}>&- ${AWAIT}<&-
exec "$@"`;
  const words = ['--user', '--mount', '--', '/bin/sh', '-c', script, 'sh', ...command];
  pipes.place();
  process.execve?.(unshare, [unshare, ...words], { ...Object.fromEntries(given), ...inside });
  throw forbidden('this Node.js cannot replace its process (process.execve is missing)');
}

function forbidden(reason: string): RootlessError {
  return new RootlessError('no-user-namespace', `cannot set up a user namespace: ${reason}`, {
    hint: 'Run as root, or let the administrator allow user namespaces; copies between registries, layouts and archives work without.',
  });
}

/** What in /proc/sys explains the refusal. */
function whyForbidden(complaint: string): string {
  const sysctl = (name: string) => text(`/proc/sys/${name}`).trim();
  if (sysctl('user/max_user_namespaces') === '0') return 'the sysctl user.max_user_namespaces is 0';
  if (sysctl('kernel/unprivileged_userns_clone') === '0')
    return 'the sysctl kernel.unprivileged_userns_clone is 0';
  if (sysctl('kernel/apparmor_restrict_unprivileged_userns') === '1')
    return 'AppArmor restricts them (sysctl kernel.apparmor_restrict_unprivileged_userns is 1)';
  return complaint || 'the kernel refuses';
}

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // Optional files: a missing or unreadable one says nothing.
    return '';
  }
}

function userName(uid: number): string {
  try {
    return userInfo().username;
  } catch {
    // No passwd entry: subuid lines may still name the number.
    return String(uid);
  }
}

function find(program: string, environment: Environment): string | undefined {
  const path = environment.PATH || '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  return findProgram(
    program,
    path.split(delimiter).filter((directory) => directory.startsWith('/')),
  );
}

function canMap(environment: Environment): boolean {
  return find('newuidmap', environment) !== undefined && find('newgidmap', environment) !== undefined;
}

/** Descriptors of the shell that waits for its maps; one digit, since no shell names more. */
const ANNOUNCE = 8;
const AWAIT = 9;

interface Pipes {
  /** The mapper's ends. */
  readonly heard: number;
  readonly answer: number;
  /** Puts the other ends at {@link ANNOUNCE} and {@link AWAIT}, whatever is there; only execve may follow. */
  place(): void;
}

const CLOSE_ON_EXEC = 0o2000000;

/** Two pipes between this process, through its execve, and the mapper. */
function openPipes(): Pipes {
  const libc = loadKoffi().load(null);
  const pipe2 = libc.func('int pipe2(void *pair, int flags)');
  const fcntl = libc.func('int fcntl(int fd, int command, int lowest)');
  const dup2 = libc.func('int dup2(int from, int to)');
  const open = () => {
    const pair = Buffer.alloc(8);
    if (pipe2(pair, CLOSE_ON_EXEC) !== 0) throw new Error('pipe2 failed: too many open files');
    return [pair.readInt32LE(0), pair.readInt32LE(4)] as const;
  };
  const [heard, announce] = open();
  const [awaited, answer] = open();
  // Out of the way first: either may sit where the other goes.
  const high = [announce, awaited].map((fd) => fcntl(fd, F_DUPFD_CLOEXEC, AWAIT + 1));
  return {
    heard,
    answer,
    place: () => {
      dup2(high[0] ?? -1, ANNOUNCE);
      dup2(high[1] ?? -1, AWAIT);
    },
  };
}
const F_DUPFD_CLOEXEC = 1030;

/** Waits for the namespace, writes its maps (the single one too where the set-user-ID helpers refuse), answers; goes into the background so that no child is left to reap. */
const MAPPER = `(
read -r word <&3 || exit 1
if [ "$2" = single ] || ! newuidmap "$1" $3; then
  echo "0 $5 1" >"/proc/$1/uid_map" || exit 1
fi
if [ "$2" = single ] || ! newgidmap "$1" $4; then
  { echo deny >"/proc/$1/setgroups"; } 2>/dev/null
  echo "0 $6 1" >"/proc/$1/gid_map" || exit 1
fi
echo go >&4
) 3<&3 4>&4 &
exit 0`;

function startMapper(ids: NamespaceIds, ranges: boolean, pipes: Pipes, environment: Environment): void {
  const line = (lines: readonly IdLine[]) =>
    lines.map(({ inside, outside, count }) => `${inside} ${outside} ${count}`).join(' ');
  const own = [ids.uids[0]?.outside ?? 0, ids.gids[0]?.outside ?? 0].map(String);
  const words = [String(process.pid), ranges ? 'ranges' : 'single', line(ids.uids), line(ids.gids), ...own];
  spawnSync('/bin/sh', ['-c', MAPPER, 'sh', ...words], {
    stdio: ['ignore', 'ignore', 'inherit', pipes.heard, pipes.answer],
    env: { PATH: environment.PATH || '/usr/sbin:/usr/bin:/sbin:/bin' },
  });
}

/** The user's runtime directory: systemd's, else one in the temporary directory that is his alone. */
function findRuntimeDirectory(uid: number): string | undefined {
  const candidates = [`/run/user/${uid}`, join(tmpdir(), `storage-run-${uid}`)];
  for (const directory of candidates) {
    try {
      if (directory.startsWith(tmpdir())) mkdirSync(directory, { mode: 0o700, recursive: true });
      const found = lstatSync(directory);
      if (found.isDirectory() && found.uid === uid && (found.mode & 0o077) === 0) return directory;
    } catch (error) {
      if (!isSystemError(error)) throw error;
    }
  }
  return undefined;
}
