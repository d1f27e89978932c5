import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { BuildError } from '../error.ts';
import type { RunRequest } from './contract.ts';
import type { RuntimeChoice } from './oci.ts';

/** Where runtimes are, beyond the caller's PATH: containers.conf's default lists. */
const RUNTIME_DIRECTORIES = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin', '/sbin', '/bin'];

/** @throws BuildError `isolation-unavailable` where no runtime is installed */
export function findRuntime(request: Pick<RunRequest, 'runtime' | 'runtimeFlags'>): RuntimeChoice {
  const flags = (request.runtimeFlags ?? []).map((flag) => (flag.startsWith('-') ? flag : `--${flag}`));
  const names = request.runtime ? [request.runtime] : ['crun', 'runc'];
  for (const name of names) {
    const path = name.includes('/') ? name : findExecutable(name);
    if (path !== undefined && isExecutable(path)) return { path, flags };
  }
  throw new BuildError('isolation-unavailable', `no OCI runtime found (looked for ${names.join(', ')})`, {
    hint: 'Install crun or runc, or use --isolation chroot.',
  });
}

function findExecutable(name: string): string | undefined {
  return RUNTIME_DIRECTORIES.map((directory) => join(directory, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
