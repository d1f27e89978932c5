import { type ChildProcess, spawn } from 'node:child_process';
import { BuildError } from '../error.ts';
import { findProgram } from './programs.ts';

export const PROGRAM_PATH = '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin';

/** Sets kernel parameters of the namespace, before `--`, and becomes what stands behind it. */
const SETTER = `while [ "$1" != -- ]; do echo "$2" >"$1" || exit 1; shift 2; done
shift; exec "$@"`;
/** Keeps the namespace; ends when its input does, which this process alone holds. */
const HOLDER = 'echo up; exec 1>&-; read -r word';

/**
 * A process may look into another of its user through /proc only where it has all its capabilities, and pasta gives up
 * most of its own before it looks for the namespace.
 */
function withoutCapabilities(): string[] {
  const program = findProgram('setpriv', PROGRAM_PATH.split(':'));
  return program === undefined ? [] : [program, '--bounding-set=-all', '--inh-caps=-all'];
}

/** A network namespace with nothing in it, for as long as it is held. */
export interface HeldNamespace extends AsyncDisposable {
  /** Of a process in it. */
  readonly pid: number;
  readonly path: string;
}

/**
 * Makes a network namespace, and sets the kernel parameters of it that a run asks for. It goes with this process.
 * @throws BuildError `isolation-unavailable` where none can be made, `bad-option` for a sysctl that cannot be set
 */
export async function holdNamespace(sysctls: readonly string[]): Promise<HeldNamespace> {
  const parameters = networkParameters(sysctls);
  const setter = ['/bin/sh', '-c', SETTER, 'holder', ...parameters, '--'];
  const words = [...setter, ...withoutCapabilities(), '/bin/sh', '-c', HOLDER];
  const holder = spawn('unshare', ['--net', '--', ...words], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: PROGRAM_PATH },
    detached: true,
  });
  const refusal = complaintsOf(holder);
  if (!(await saysUp(holder))) {
    await end(holder);
    if (refusal().includes(PARAMETERS)) throw new BuildError('bad-option', `setting a sysctl: ${refusal()}`);
    throw new BuildError(
      'isolation-unavailable',
      'a private network needs a network namespace, which is refused',
    );
  }
  const pid = holder.pid as number;
  return { pid, path: `/proc/${pid}/ns/net`, [Symbol.asyncDispose]: () => end(holder) };
}

const PARAMETERS = '/proc/sys/';

/** Paths and values of the `net.` sysctls. They are set here since a mapped root may not set them in this namespace. */
function networkParameters(sysctls: readonly string[]): string[] {
  return sysctls.flatMap((entry) => {
    const [, name, value = ''] = /^(net\.[\w./-]+)=(.*)$/s.exec(entry) ?? [];
    return name && !name.includes('..') ? [PARAMETERS + name.replaceAll('.', '/'), value] : [];
  });
}

function saysUp(child: ChildProcess): Promise<boolean> {
  return new Promise((resolve) => {
    child.stdout?.once('data', () => resolve(true));
    child.once('close', () => resolve(false));
    child.once('error', () => resolve(false));
  });
}

const NOISE = /to syslog$/;

/** The first line that a program says on stderr: usage may follow. */
export function complaintsOf(child: ChildProcess): () => string {
  let text = '';
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    text = (text + chunk).slice(0, 2000);
  });
  const isSaid = (line: string) => line.trim() !== '' && !NOISE.test(line);
  return () => text.split('\n').find(isSaid)?.trim().slice(0, 200) ?? '';
}

/** Ends a process that runs for as long as its input does. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.stdin?.on('error', () => undefined);
  child.stdin?.end();
  await gone;
}
