import { BuildError } from '../error.ts';
import type { IsolationKind, RunResult } from './contract.ts';

/** The error for a command that ended badly, as Buildah words it: only what an OCI runtime ran names the runtime. */
export function runFailure(
  isolation: IsolationKind,
  { exitCode, signal }: Pick<RunResult, 'exitCode' | 'signal'>,
): BuildError {
  const why = signal ? `killed by signal ${signal}` : `exit status ${exitCode}`;
  const message = isolation === 'chroot' ? why : `while running runtime: ${why}`;
  return new BuildError('run-failed', message, { exitCode });
}
