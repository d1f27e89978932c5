import { createWriteStream, type WriteStream } from 'node:fs';
import { resolve } from 'node:path';
import type { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { ResourceLog } from '../../../build/exec/resource-log.ts';
import type { Platform } from '../../../image/platform.ts';
import type { CommandContext } from '../../cli/contract.ts';

/**
 * The file of `--logfile`, closed with `resources`; undefined where there is none.
 * @param platform with `--logsplit`, the platform whose own file is meant
 */
export function openLog(
  { flags, io }: CommandContext,
  resources: AsyncDisposableStack,
  platform?: Platform,
): WriteStream | undefined {
  const name = flags.string('logfile');
  if (!name) return undefined;
  const suffix = platform ? `_${platform.os}_${platform.architecture}` : '';
  const stream = createWriteStream(resolve(io.workingDirectory, name + suffix), { mode: 0o600 });
  resources.defer(async () => {
    stream.end();
    await finished(stream);
  });
  return stream;
}

/** `--log-rusage`, to stdout or the file of `--rusage-logfile`. */
export function openResourceLog(
  { flags, io }: CommandContext,
  stdout: Writable,
  resources: AsyncDisposableStack,
): ResourceLog | undefined {
  if (!flags.bool('log-rusage') || flags.bool('quiet')) return undefined;
  const name = flags.string('rusage-logfile');
  if (!name) return new ResourceLog(stdout);
  const stream = createWriteStream(resolve(io.workingDirectory, name), { mode: 0o644 });
  resources.defer(async () => {
    stream.end();
    await finished(stream);
  });
  return new ResourceLog(stream);
}
