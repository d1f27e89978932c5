import { mkdirSync, rmSync } from 'node:fs';
import { BuildError } from '../error.ts';
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
  await prepareIsolation(request.isolation);
  try {
    const plan = await planRun(request, readHostFacts());
    using _points = makeMountPoints(plan, request.volumes ?? []);
    if (request.isolation === 'chroot') {
      const { runInChroot } = await import('./chroot.ts');
      return await runInChroot(request, plan);
    }
    const { runWithRuntime } = await import('./oci.ts');
    return await runWithRuntime(request, plan, findRuntime(request));
  } finally {
    rmSync(request.stateDirectory, { recursive: true, force: true });
  }
}

/**
 * Gets ready what a later {@link runCommand} of this isolation needs, in the background. A build calls it before its
 * first RUN is due; without it everything works, a little later.
 */
export async function prepareIsolation(isolation: IsolationKind): Promise<void> {
  if (isolation !== 'chroot') return;
  const { prepareThread } = await import('./chroot.ts');
  prepareThread();
}
