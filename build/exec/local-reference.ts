import { closeSync, readlinkSync } from 'node:fs';
import { posix } from 'node:path';
import { isSystemError } from '../../errors.ts';
import { BuildError } from '../error.ts';
import { openInRoot, openRoot } from '../run/rooted-path.ts';

/** Transports whose references begin with a path, and whether more may follow behind a colon. */
const LOCAL: Readonly<Record<string, boolean>> = {
  'docker-archive': true,
  'oci-archive': true,
  oci: true,
  dir: false,
};

/**
 * An image that a Containerfile names by a path is in the context, whatever links lead elsewhere; its reference with
 * the host's path. Other references stay as they are.
 * @throws BuildError `unsafe-path` where links go round in circles
 */
export function belowContext(reference: string, contextDirectory: string): string {
  const [, transport = '', rest = ''] = /^([a-z-]+):(.*)$/s.exec(reference) ?? [];
  if (!Object.hasOwn(LOCAL, transport)) return reference;
  const colon = LOCAL[transport] ? rest.indexOf(':') : -1;
  const path = colon < 0 ? rest : rest.slice(0, colon);
  const found = resolveBelow(contextDirectory, path);
  return `${transport}:${found}${colon < 0 ? '' : rest.slice(colon)}`;
}

function resolveBelow(contextDirectory: string, path: string): string {
  using root = openRoot(contextDirectory);
  try {
    const fd = openInRoot(root, posix.normalize(`/${path}`).slice(1) || '.');
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    if (isSystemError(cause, 'ENOENT', 'ENOTDIR'))
      return posix.join(contextDirectory, posix.normalize(`/${path}`));
    if (isSystemError(cause))
      throw new BuildError('unsafe-path', `"${path}" cannot be resolved in the context`, { cause });
    throw cause;
  }
}
