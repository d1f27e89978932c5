import { createWriteStream, openSync, type WriteStream } from 'node:fs';
import { resolve } from 'node:path';
import { finished } from 'node:stream/promises';
import { type OutputTarget, openOutput } from '../../../build/exec/log.ts';
import { ResourceLog } from '../../../build/exec/resource-log.ts';
import type { Platform } from '../../../image/platform.ts';
import type { CommandContext } from '../../cli/contract.ts';
import { onNamedFile } from '../../cli/error.ts';

/**
 * The file of `--logfile`, closed with `resources`; undefined where there is none.
 * @param platform with `--logsplit`, the platform whose own file is meant
 */
export function openLog(
  { flags, io }: CommandContext,
  resources: AsyncDisposableStack,
  platform?: Platform,
): WriteStream | undefined {
  if (!flags.changed('logfile')) return undefined;
  const suffix = platform ? `_${platform.os}_${platform.architecture}` : '';
  const name = flags.string('logfile') + suffix;
  // An empty name is no file, and not the directory that it would be resolved to.
  const path = name && resolve(io.workingDirectory, name);
  return onNamedFile('opening log file: ', name, () => openFile(path, 0o600, resources));
}

/** A file that cannot be opened fails here, one that cannot be written when it is closed. */
function openFile(path: string, mode: number, resources: AsyncDisposableStack): WriteStream {
  const stream = createWriteStream(path, { fd: openSync(path, 'w', mode) });
  stream.on('error', (error) => {
    error.message = error.message.replace(/, write$/, `, write '${path}'`);
  });
  resources.defer(async () => {
    stream.end();
    await finished(stream);
  });
  return stream;
}

/** True where no flag sends the id of the image to a file of its own. */
export function printsId({ flags }: CommandContext): boolean {
  return !['iidfile', 'iidfile-raw', 'raw-iidfile'].some((name) => flags.string(name));
}

/** `--log-rusage`, to stdout or the file of `--rusage-logfile`. */
export function openResourceLog(
  { flags, io }: CommandContext,
  stdout: OutputTarget,
  resources: AsyncDisposableStack,
): ResourceLog | undefined {
  if (!flags.bool('log-rusage') || flags.bool('quiet')) return undefined;
  const name = flags.string('rusage-logfile');
  if (!name) return new ResourceLog(openOutput(stdout));
  return new ResourceLog(openFile(resolve(io.workingDirectory, name), 0o644, resources));
}
