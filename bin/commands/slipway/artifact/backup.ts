import { resolve } from 'node:path';
import type { BackupOptions } from '../../../../artifact/backup.ts';
import type { CommandContext, CommandSpec } from '../../../cli/contract.ts';
import { UsageError } from '../../../cli/error.ts';
import { imagePolicy, POLICY_FLAGS, policyFlags } from '../../../cli/image-policy.ts';
import { registryFlags } from '../../../cli/registry-access.ts';
import { REGISTRIES_D_FLAG } from '../../../cli/signature-places.ts';
import { transportContext } from '../../../cli/transport-context.ts';
import { QUIET, readRepository, withProgress } from './shared.ts';

export const backup: CommandSpec = {
  name: 'backup',
  summary: 'Save tags of a repository in an OCI layout or an archive',
  description:
    'Saves tags of a repository, all without any given, with their digests: in a directory, or in an archive where the output ends in .tar. Running it again adds what is new to a directory.',
  usage: '[flags] --output PATH NAME[:TAG,TAG...]',
  examples: ['slipway artifact backup --output app.tar registry.example.com/app:1.4,latest'],
  args: { min: 1, max: 1 },
  flags: [
    ...registryFlags(),
    REGISTRIES_D_FLAG,
    ...POLICY_FLAGS,
    { name: 'output', short: 'o', kind: 'string', usage: 'directory or .tar archive to write' },
    { name: 'include-referrers', kind: 'bool', usage: 'save what refers to the images too' },
    QUIET,
  ],
  run: async (context) => {
    const { backUpRepository } = await import('../../../../artifact/backup.ts');
    const { repository, path, policy } = await readPlaces(context, 'output');
    const tags = await withProgress(context, (progress) =>
      backUpRepository(policy, repository, path, {
        ...readOptions(context),
        ...progress,
        referrers: context.flags.bool('include-referrers'),
      }),
    );
    context.note(`Saved ${tags.length} tags in ${path}`);
  },
};

export const restore: CommandSpec = {
  name: 'restore',
  summary: 'Put the tags of a backup into a repository',
  usage: '[flags] --input PATH NAME[:TAG,TAG...]',
  examples: ['slipway artifact restore --input app.tar mirror.example.com/app'],
  args: { min: 1, max: 1 },
  flags: [
    ...registryFlags(),
    REGISTRIES_D_FLAG,
    ...POLICY_FLAGS,
    { name: 'input', kind: 'string', usage: 'directory or .tar archive to read' },
    { name: 'exclude-referrers', kind: 'bool', usage: 'leave behind what refers to the images' },
    { name: 'dry-run', kind: 'bool', usage: 'say what would be restored, and write nothing' },
    QUIET,
  ],
  run: async (context) => {
    const { restoreRepository } = await import('../../../../artifact/backup.ts');
    const { repository, path, policy } = await readPlaces(context, 'input');
    const dryRun = context.flags.bool('dry-run');
    const tags = await withProgress(context, (progress) =>
      restoreRepository(policy, path, repository, {
        ...readOptions(context),
        ...progress,
        referrers: !context.flags.bool('exclude-referrers'),
        dryRun,
      }),
    );
    context.note(`${dryRun ? 'Would have restored' : 'Restored'} ${tags.length} tags from ${path}`);
  },
};

async function readPlaces(context: CommandContext, flag: 'output' | 'input') {
  const { repository } = readRepository(context.args[0] as string);
  const path = context.flags.string(flag);
  if (!path)
    throw new UsageError('usage', `--${flag} is needed: a directory, or an archive that ends in .tar`);
  const policy = await imagePolicy(context, policyFlags(context.flags));
  return { repository, policy, path: resolve(context.io.workingDirectory, path) };
}

/** Each tag is printed with its digest when it is done. */
function readOptions(context: CommandContext): BackupOptions {
  const { tags } = readRepository(context.args[0] as string);
  return {
    registry: transportContext(context, { journal: true }),
    onTag: (tag, result) => context.print(result ? `${tag} ${result.digest}` : tag),
    ...(tags ? { tags } : {}),
  };
}
