import { realpathSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { isRemoteContext } from '../../../build/exec/fetch-context.ts';
import { buildMemoryOf } from '../../../config/host.ts';
import { isSystemError } from '../../../errors.ts';
import type { CommandIo } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';

export function recordsDirectory(io: CommandIo): string {
  return join(buildMemoryOf(io), 'records');
}

/** What a context is remembered by: its real path, or the URL that it comes from. */
export function contextIdentity(given: string | undefined, directory: string): string {
  return given !== undefined && (given === '-' || isRemoteContext(given)) ? given : directory;
}

/** The identity of a context that is not opened. @throws UsageError */
export function identityOfArgument(io: CommandIo, given: string): string {
  if (given === '-' || isRemoteContext(given)) return given;
  try {
    const path = realpathSync(resolve(io.workingDirectory, given));
    return statSync(path).isDirectory() ? path : dirname(path);
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    throw new UsageError('usage', `context ${given}: ${cause.message}`, { cause });
  }
}
