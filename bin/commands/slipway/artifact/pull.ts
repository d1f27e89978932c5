import { resolve } from 'node:path';
import type { CommandSpec } from '../../../cli/contract.ts';
import { imagePolicy, POLICY_FLAGS, policyFlags } from '../../../cli/image-policy.ts';
import { parseAnyReference } from '../../../cli/image-reference.ts';
import { registryFlags } from '../../../cli/registry-access.ts';
import { REGISTRIES_D_FLAG } from '../../../cli/signature-places.ts';
import { transportContext } from '../../../cli/transport-context.ts';
import { FORMAT, PLATFORM, platformFlag, printResult, QUIET, withProgress } from './shared.ts';

export const pull: CommandSpec = {
  name: 'pull',
  summary: 'Pull the files of an artifact',
  description:
    'Writes the files of an artifact under the names that they were pushed with, each after it was checked, and prints where they are.',
  usage: '[flags] REFERENCE',
  examples: ['slipway artifact pull --output reports registry.example.com/app:report'],
  args: { min: 1, max: 1 },
  flags: [
    ...registryFlags(),
    REGISTRIES_D_FLAG,
    ...POLICY_FLAGS,
    { name: 'output', short: 'o', kind: 'string', default: '.', usage: 'write files below `DIRECTORY`' },
    { name: 'config', kind: 'string', usage: 'write the config to `FILE` too' },
    { name: 'keep-old-files', short: 'k', kind: 'bool', usage: 'do not replace files that exist' },
    {
      name: 'allow-path-traversal',
      short: 'T',
      kind: 'bool',
      usage: 'allow files outside the output directory',
    },
    { name: 'include-subject', kind: 'bool', usage: 'pull what the artifact refers to as well' },
    PLATFORM,
    FORMAT,
    QUIET,
  ],
  run: async (context) => {
    const { pullArtifact } = await import('../../../../artifact/pull.ts');
    const { flags, io } = context;
    const reference = await parseAnyReference(context.args[0] as string, io.workingDirectory);
    const policy = await imagePolicy(context, policyFlags(flags));
    const platform = platformFlag(context);
    const surroundings = transportContext(context, { journal: true, ...(platform ? { platform } : {}) });
    const config = flags.string('config');
    const files = await withProgress(context, (options) =>
      pullArtifact(policy, reference, surroundings, {
        directory: resolve(io.workingDirectory, flags.string('output')),
        keepOldFiles: flags.bool('keep-old-files'),
        allowPathTraversal: flags.bool('allow-path-traversal'),
        includeSubject: flags.bool('include-subject'),
        ...(config ? { configPath: resolve(io.workingDirectory, config) } : {}),
        ...options,
      }),
    );
    if (files.length === 0) context.note('The artifact has no titled files: nothing was written');
    const listed = files.map(({ path, descriptor }) => ({ path, ...descriptor }));
    if (files.length > 0 || flags.string('format') === 'json')
      await printResult(context, { files: listed }, files.map(({ path }) => path).join('\n'));
  },
};
