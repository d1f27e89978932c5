import { recordsOf } from '../../../build/record/keep.ts';
import type { BuildRecord } from '../../../build/record/record.ts';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';
import { explanationLines } from './build-explain.ts';
import { identityOfArgument, recordsDirectory } from './build-identity.ts';

/** `slipway why`: what the last build of a context had to do, and because of what. */
export const why: CommandSpec = {
  name: 'why',
  summary: 'Say why the last build of a context had to execute steps',
  description:
    'For each step that slipway build did not find in the cache: which file was added, changed or removed, which\n' +
    'argument, base image or mount changed since the build before.',
  usage: '[flags] CONTEXT...',
  examples: ['slipway why .', 'slipway why --all --json ./api ./web'],
  args: { min: 1 },
  flags: [
    { name: 'all', short: 'a', kind: 'bool', usage: 'tell of every target, platform and Containerfile' },
    { name: 'json', kind: 'bool', usage: 'print JSON' },
  ],
  run: async (context) => {
    const found = context.args.map((given) => [given, find(context, given)] as const);
    if (context.flags.bool('json'))
      context.print(
        JSON.stringify(
          found.flatMap(([, records]) => records.map(forJson)),
          undefined,
          2,
        ),
      );
    else for (const [given, records] of found) for (const record of records) tell(context, given, record);
  },
};

function find(context: CommandContext, given: string): readonly BuildRecord[] {
  const { io, flags } = context;
  const records = recordsOf(recordsDirectory(io), identityOfArgument(io, given));
  if (records.length === 0)
    throw new UsageError('usage', `no build of ${given} is known`, {
      hint: 'slipway build remembers what it built; buildah build does not',
    });
  return flags.bool('all') ? records : records.slice(0, 1);
}

function forJson({ identity, startedAt, imageId, explanations }: BuildRecord) {
  return { ...identity, startedAt, imageId, steps: explanations ?? null };
}

function tell(context: CommandContext, given: string, record: BuildRecord): void {
  const { target, platform } = record.identity;
  const what = [given, target && `target ${target}`, platform].filter(Boolean).join(', ');
  context.print(`${what}, built ${record.startedAt}${record.imageId ? '' : ', failed'}:`);
  for (const line of explanationLines(record)) context.print(`  ${line}`);
}
