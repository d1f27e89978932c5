import { statSync } from 'node:fs';
import type { CommitOptions } from '../../../build/container/contract.ts';
import type { CommandContext, FlagSpec } from '../../cli/contract.ts';
import { usage } from './arguments.ts';

export const TIMESTAMP_FLAGS: readonly FlagSpec[] = [
  { name: 'omit-timestamp', kind: 'bool', usage: 'date everything 1970-01-01', hidden: true },
  { name: 'reference-time', kind: 'string', usage: 'take the date from this file', hidden: true },
  {
    name: 'rewrite-timestamp',
    kind: 'bool',
    usage: 'date the files of new layers no later than --source-date-epoch',
  },
  {
    name: 'source-date-epoch',
    kind: 'string',
    usage: 'date the image `SECONDS` after the epoch; SOURCE_DATE_EPOCH does so too',
  },
  {
    name: 'timestamp',
    kind: 'int',
    usage: 'date the image and the files of new layers `SECONDS` after the epoch',
  },
];

/** Reads {@link TIMESTAMP_FLAGS}. */
export function timestampOptions({
  flags,
  io,
}: CommandContext): Pick<CommitOptions, 'timestampSeconds' | 'sourceDateEpochSeconds' | 'rewriteTimestamp'> {
  const epoch = flags.changed('source-date-epoch')
    ? flags.string('source-date-epoch')
    : (io.environment.SOURCE_DATE_EPOCH ?? '');
  const given = [
    flags.changed('reference-time'),
    epoch !== '',
    flags.changed('timestamp'),
    flags.bool('omit-timestamp'),
  ];
  if (given.filter(Boolean).length > 1) throw usage('cannot use more then one timestamp option at at time');
  if (epoch !== '' && !/^-?\d+$/.test(epoch))
    throw usage(`parsing source date epoch "${epoch}": strconv.ParseInt: parsing "${epoch}": invalid syntax`);
  return {
    timestampSeconds: fixedTime({ flags }),
    sourceDateEpochSeconds: epoch === '' ? undefined : Number(epoch),
    rewriteTimestamp: flags.bool('rewrite-timestamp'),
  };
}

function fixedTime({ flags }: Pick<CommandContext, 'flags'>): number | undefined {
  if (flags.changed('timestamp')) return flags.number('timestamp');
  if (flags.bool('omit-timestamp')) return 0;
  const file = flags.string('reference-time');
  if (!file) return undefined;
  try {
    return Math.floor(statSync(file).mtimeMs / 1000);
  } catch (cause) {
    throw usage(`reading timestamp of file "${file}": ${(cause as Error).message}`);
  }
}
