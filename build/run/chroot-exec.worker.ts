import { accessSync, constants, readFileSync, statSync, writeSync } from 'node:fs';
import { constants as systemConstants } from 'node:os';
import { posix } from 'node:path';
import { execute, exitAtOnce, ioctl, restoreSignal } from '../../store/kernel/index.ts';
import { confine, prepareFilter } from './chroot-confine.ts';
import { bindRoot, enterRoot } from './chroot-filesystem.ts';
import { setLimits, type TextLimit } from './rlimits.ts';
import { openRoot } from './rooted-path.ts';
import type { RuntimeSpec } from './runtime-spec.ts';

/**
 * The last step of chroot isolation as a process of its own, for what belongs to a process and not to a thread:
 * resource limits, a controlling terminal, and filters that the thread could not live with. It is started inside the
 * namespaces, with everything mounted, and becomes the command by execve.
 * Descriptor 3 gives the job, descriptor 4 takes an error.
 */
export interface ExecJob {
  readonly spec: RuntimeSpec;
  readonly limits: readonly TextLimit[];
  /** Base64. */
  readonly filter?: string;
  readonly maySetGroups: boolean;
  readonly noPivot?: boolean;
}

const SET_CONTROLLING = 0x540e; // TIOCSCTTY
/** What is ignored stays so across execve(2): a command that writes to a closed pipe would go on. */
const IGNORED_BY_NODE = [systemConstants.signals.SIGPIPE, systemConstants.signals.SIGXFSZ];

try {
  const job = JSON.parse(readFileSync(3, 'utf8')) as ExecJob;
  becomeCommand(job);
} catch (error) {
  const { code, message, syscall } = error as NodeJS.ErrnoException;
  writeSync(4, JSON.stringify({ code: code ?? '', message, syscall: syscall ?? '' }));
  exitAtOnce(125);
}

function becomeCommand({ spec, limits, filter, maySetGroups, noPivot }: ExecJob): void {
  const { process: wanted } = spec;
  if (wanted.terminal) ioctl(0, SET_CONTROLLING, 0);
  const installFilter =
    filter === undefined
      ? undefined
      : prepareFilter(Buffer.from(filter, 'base64'), spec.linux.seccomp?.flags);
  // The mounts that a user namespace has taken over are held together; a mount of its own can become its root.
  const root = spec.linux.uidMappings ? bindRoot(spec.root.path) : openRoot(spec.root.path);
  enterRoot(root, wanted.cwd, noPivot);
  setLimits(limits);
  const path = wanted.env.findLast((entry) => entry.startsWith('PATH='))?.slice('PATH='.length) ?? '';
  // Looked up before privileges go: a filter may forbid what the search needs.
  const file = findProgram(wanted.args[0] ?? '', path, wanted.cwd);
  confine({
    process: wanted,
    installFilter,
    maySetGroups,
  });
  for (const number of IGNORED_BY_NODE) restoreSignal(number);
  execute(file, wanted.args, wanted.env);
}

function findProgram(name: string, path: string, cwd: string): string {
  const candidates = name.includes('/')
    ? [posix.resolve(cwd, name)]
    : path.split(':').map((directory) => posix.resolve(cwd, directory, name));
  let reason: Error | undefined;
  for (const candidate of candidates) {
    try {
      accessSync(candidate, constants.X_OK);
      if (statSync(candidate).isFile()) return candidate;
      reason ??= Object.assign(new Error('it is no file'), { code: 'EACCES' });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || reason === undefined) reason = error as Error;
    }
  }
  throw Object.assign(new Error(reason?.message ?? 'not found'), {
    code: (reason as NodeJS.ErrnoException | undefined)?.code ?? 'ENOENT',
    syscall: 'spawn',
  });
}
