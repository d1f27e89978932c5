import { mkdirSync, rmSync } from 'node:fs';
import { isSystemError } from '../../errors.ts';
import { isOrdinaryUser } from '../../store/layer/owner-override.ts';
import { BuildError } from '../error.ts';
import { connectNetwork } from './connect.ts';
import type { IsolationKind, RunRequest, RunResult } from './contract.ts';
import { findRuntime } from './detect.ts';
import { readHostFacts } from './host.ts';
import { makeMountPoints } from './mount-points.ts';
import { planRun } from './plan.ts';

/**
 * Runs one command in a root file system under an isolation. When it returns or throws, everything it made is gone:
 * processes, mounts, mount points, the state directory; a killed caller takes the processes and mounts along.
 * @throws BuildError `bad-user`, `bad-mount`, `bad-option`, `unsafe-path` before anything runs; `runtime`,
 * `isolation-unavailable`, `run-failed` where the command cannot be started; the abort reason when the signal aborts
 */
export async function runCommand(request: RunRequest): Promise<RunResult> {
  request.signal?.throwIfAborted();
  if (request.args.length === 0) throw new BuildError('bad-argument', 'no command to run');
  mkdirSync(request.stateDirectory, { recursive: true, mode: 0o700 });
  if (!request.terminal) await prepareIsolation(request.isolation);
  try {
    await using stack = new AsyncDisposableStack();
    const network = await connectNetwork(request, stack);
    const connected = { ...request, network: network?.request ?? request.network };
    const plan = await planRun(connected, readHostFacts(), network?.offer).catch(explainRights);
    if (isOrdinaryUser()) throw needsRights();
    using _points = makeMountPoints(plan, request.volumes ?? []);
    if (request.isolation === 'chroot') {
      const { runInChroot } = await import('./chroot.ts');
      return await runInChroot(connected, plan);
    }
    const { runWithRuntime } = await import('./oci.ts');
    return await runWithRuntime(connected, plan, findRuntime(request));
  } finally {
    rmSync(request.stateDirectory, { recursive: true, force: true });
  }
}

function needsRights(): BuildError {
  return new BuildError('isolation-unavailable', 'running a command needs root or a user namespace', {
    hint: 'what a build does without RUN needs neither',
  });
}

/** What an ordinary user may not do while a run is planned comes down to the same. */
function explainRights(error: unknown): never {
  throw isOrdinaryUser() && isSystemError(error, 'EPERM', 'EACCES') ? needsRights() : error;
}

/**
 * Gets ready what a later {@link runCommand} of this isolation needs, in the background. A build calls it before its
 * first RUN is due; without it everything works, a little later.
 */
export async function prepareIsolation(isolation: IsolationKind): Promise<void> {
  if (isolation !== 'chroot') return;
  const { prepareHost } = await import('./chroot.ts');
  prepareHost();
}
