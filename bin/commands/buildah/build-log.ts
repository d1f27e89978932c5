import { createWriteStream, type WriteStream } from 'node:fs';
import { resolve } from 'node:path';
import { finished } from 'node:stream/promises';
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
