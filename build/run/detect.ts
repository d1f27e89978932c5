import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { ifThere, SlipwayError } from '../../errors.ts';
import { BuildError } from '../error.ts';
import type { IsolationKind, RunRequest } from './contract.ts';
import { readHostFacts } from './host.ts';
import type { RuntimeChoice } from './oci.ts';
import { findProgram, isExecutable } from './programs.ts';

/** Where runtimes are, beyond the caller's PATH: containers.conf's default lists. */
const RUNTIME_DIRECTORIES = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin', '/sbin', '/bin'];
const RUNTIMES = ['crun', 'runc', 'youki'];
const SYS_ADMIN = 21n;

/**
 * The runtime of a request, or the first installed one that can work on this host.
 * @throws BuildError `isolation-unavailable` where there is none
 */
export function findRuntime(request: Pick<RunRequest, 'runtime' | 'runtimeFlags'>): RuntimeChoice {
  const flags = (request.runtimeFlags ?? []).map((flag) => (flag.startsWith('-') ? flag : `--${flag}`));
  if (request.runtime) {
    const path = request.runtime.includes('/')
      ? request.runtime
      : findProgram(request.runtime, RUNTIME_DIRECTORIES);
    if (path !== undefined && isExecutable(path)) return { path, flags };
    throw unavailable(`the OCI runtime ${request.runtime} is not installed`);
  }
  const reasons: string[] = [];
  for (const name of RUNTIMES) {
    const path = findProgram(name, RUNTIME_DIRECTORIES);
    if (path === undefined) continue;
    const reason = cannotWork(path);
    if (reason === undefined) return { path, flags };
    reasons.push(`${name}: ${reason}`);
  }
  throw unavailable(reasons.join('; ') || `no OCI runtime is installed (looked for ${RUNTIMES.join(', ')})`);
}

function unavailable(reason: string): BuildError {
  return new BuildError('isolation-unavailable', reason, {
    hint: 'Install crun or runc, or use --isolation chroot, which needs neither.',
  });
}

/** Hosts that a runtime is known to refuse at its start. */
function cannotWork(path: string): string | undefined {
  if (basename(path) !== 'crun') return undefined;
  const controllers = ifThere(() => readFileSync('/sys/fs/cgroup/unified/cgroup.controllers', 'utf8'));
  return controllers?.trim() ? 'it refuses hosts with cgroups in hybrid mode' : undefined;
}

export interface IsolationReport {
  readonly kind: IsolationKind;
  readonly works: boolean;
  /** Path of the runtime for `oci` and `rootless`. */
  readonly runtime?: string;
  /** Why not. */
  readonly reason?: string;
}

export interface IsolationChoice {
  readonly reports: readonly IsolationReport[];
  /** The runtime if one works, else chroot; undefined where nothing does. */
  readonly preferred?: IsolationKind;
  /** One line to show the user where {@link preferred} is not what Buildah would take. */
  readonly note?: string;
}

/** Which isolations work for this process on this host, and which one to take. */
export function detectIsolation(): IsolationChoice {
  if (process.platform !== 'linux') return nothingWorks(`RUN needs Linux, this is ${process.platform}`);
  const host = readHostFacts();
  if (((host.capabilities >> SYS_ADMIN) & 1n) === 0n)
    return nothingWorks('neither root nor inside a user namespace (see buildah unshare)');
  const runtime = findRuntimeSafely();
  const kind: IsolationKind = host.rootless ? 'rootless' : 'oci';
  const other: IsolationKind = host.rootless ? 'oci' : 'rootless';
  const withRuntime = (one: IsolationKind): IsolationReport =>
    'path' in runtime
      ? { kind: one, works: true, runtime: runtime.path }
      : { kind: one, works: false, reason: runtime.reason };
  const reports = [withRuntime(kind), withRuntime(other), { kind: 'chroot', works: true } as const];
  if ('path' in runtime) return { reports, preferred: kind };
  return { reports, preferred: 'chroot', note: `using chroot isolation: ${runtime.reason}` };
}

function nothingWorks(reason: string): IsolationChoice {
  const kinds: readonly IsolationKind[] = ['oci', 'rootless', 'chroot'];
  return { reports: kinds.map((kind) => ({ kind, works: false, reason })) };
}

function findRuntimeSafely(): { path: string } | { reason: string } {
  try {
    return { path: findRuntime({}).path };
  } catch (error) {
    if (error instanceof SlipwayError) return { reason: error.message };
    throw error;
  }
}
