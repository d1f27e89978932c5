import { BuildError } from '../../../../build/error.ts';
import { SlipwayError } from '../../../../errors.ts';
import type { CommandContext, CommandSpec } from '../../../cli/contract.ts';
import { UsageError } from '../../../cli/error.ts';
import { type Removal, removeByName, removeMatching } from '../../buildah/rmi.ts';
import { openSession } from '../../buildah/session.ts';

/** `slipway rmi`: podman rmi. */
export const rmi: CommandSpec = {
  name: 'rmi',
  summary: 'Remove images from local storage',
  description:
    'Removes images with the names they have; of an image with several names, only the given one goes. Parents without a name that nothing else is built on go along.',
  usage: '[flags] IMAGE [IMAGE...]',
  examples: ['slipway rmi app:1', 'slipway rmi --all --force'],
  flags: [
    { name: 'all', short: 'a', kind: 'bool', usage: 'remove every image' },
    {
      name: 'force',
      short: 'f',
      kind: 'bool',
      usage: 'remove all names of an image, and the containers that use it',
    },
    { name: 'ignore', short: 'i', kind: 'bool', usage: 'an image that does not exist is no error' },
    { name: 'no-prune', kind: 'bool', usage: 'keep the parents' },
  ],
  run: async (context) => {
    const { flags, args } = context;
    const all = flags.bool('all');
    if (args.length === 0 && !all) throw new UsageError('usage', 'image name or ID must be specified');
    if (args.length > 0 && all)
      throw new UsageError('usage', 'when using the --all switch, you may not pass any images names or IDs');
    await using session = await openSession(context);
    const options = { force: flags.bool('force'), keepParents: flags.bool('no-prune') };
    const removal = all
      ? await removeMatching(session, [], options)
      : await removeByName(session, args, { ...options, ignoreMissing: flags.bool('ignore') });
    print(context, removal);
  },
};

function print(context: CommandContext, { reports, failures }: Removal): void {
  for (const { untagged } of reports) for (const name of untagged) context.print(`Untagged: ${name}`);
  for (const { id, removed } of reports) if (removed) context.print(`Deleted: ${id}`);
  if (failures.length === 0) return;
  const [first] = failures;
  if (failures.length === 1 || !failures.every((failure) => failure instanceof SlipwayError)) throw first;
  const lines = failures.map((failure) => `\n\t* ${(failure as Error).message}`);
  throw new BuildError('bad-argument', `${failures.length} errors occurred:${lines.join('')}\n`, {
    cause: first,
  });
}
