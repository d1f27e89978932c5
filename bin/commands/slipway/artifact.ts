import type { ReferrerNode } from '../../../artifact/discover.ts';
import type { ArtifactFile } from '../../../artifact/pack.ts';
import type { PushArtifactOptions } from '../../../artifact/push.ts';
import { formatImageReference } from '../../../transport/references.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';
import { imagePolicy, POLICY_FLAGS, policyFlags } from '../../cli/image-policy.ts';
import { parseAnyReference } from '../../cli/image-reference.ts';
import { createProgress } from '../../cli/progress.ts';
import { registryFlags } from '../../cli/registry-access.ts';
import { REGISTRIES_D_FLAG } from '../../cli/signature-places.ts';
import { transportContext } from '../../cli/transport-context.ts';

const QUIET: FlagSpec = { name: 'quiet', short: 'q', kind: 'bool', usage: 'print no progress' };
const PACKING: FlagSpec[] = [
  { name: 'artifact-type', kind: 'string', usage: 'say what kind of artifact this is, as a media `TYPE`' },
  { name: 'annotation', short: 'a', kind: 'array', usage: 'annotate the manifest with `KEY=VALUE`' },
  { name: 'config', kind: 'string', usage: 'use `FILE[:TYPE]` as the config' },
  QUIET,
];

/** `slipway artifact`: what the oras tool does. */
export const artifact: CommandSpec = {
  name: 'artifact',
  summary: 'Push, pull, attach and discover OCI artifacts',
  usage: '',
  commands: [
    { name: 'push', summary: 'Push files as an artifact', load: async () => push },
    { name: 'pull', summary: 'Pull the files of an artifact', load: async () => pull },
    {
      name: 'attach',
      summary: 'Push files as an artifact that refers to an image',
      load: async () => attach,
    },
    { name: 'discover', summary: 'Show what refers to an image', load: async () => discover },
  ],
};

const push: CommandSpec = {
  name: 'push',
  summary: 'Push files as an artifact',
  description:
    'Pushes files and directories as one artifact and prints its digest. Any reference with a transport works, a bare name is a registry.',
  usage: '[flags] REFERENCE FILE[:TYPE]...',
  examples: [
    'slipway artifact push --artifact-type application/vnd.example.report registry.example.com/app:report report.json:application/json',
  ],
  args: { min: 1 },
  flags: [...registryFlags(), ...PACKING],
  run: async (context) => {
    const { pushArtifact } = await import('../../../artifact/push.ts');
    const [name, ...files] = context.args as [string, ...string[]];
    const reference = await parseAnyReference(name, context.io.workingDirectory);
    const manifest = await withProgress(context, (options) =>
      pushArtifact(reference, files.map(parseFile), transportContext(context), {
        ...packing(context),
        ...options,
      }),
    );
    context.note(`Pushed ${formatImageReference(reference)}`);
    context.print(manifest.digest);
  },
};

const attach: CommandSpec = {
  name: 'attach',
  summary: 'Push files as an artifact that refers to an image',
  usage: '[flags] --artifact-type TYPE REFERENCE FILE[:TYPE]...',
  args: { min: 1 },
  flags: [...registryFlags(), ...PACKING],
  run: async (context) => {
    const { attachArtifact } = await import('../../../artifact/push.ts');
    const artifactType = context.flags.string('artifact-type');
    if (!artifactType)
      throw new UsageError('usage', '--artifact-type is needed: it says what the attached artifact is');
    const [name, ...files] = context.args as [string, ...string[]];
    const reference = await parseAnyReference(name, context.io.workingDirectory);
    if (reference.transport !== 'docker' || !reference.named)
      throw new UsageError('usage', 'attaching works in registries: give a docker:// reference');
    const { repositoryOf } = await import('../../../image/reference.ts');
    const repository = repositoryOf(reference.named);
    const { manifest } = await withProgress(context, (options) =>
      attachArtifact(reference, files.map(parseFile), transportContext(context), {
        ...packing(context),
        ...options,
        artifactType,
        referenceOf: ({ digest }) =>
          parseAnyReference(`docker://${repository}@${digest}`, context.io.workingDirectory),
      }),
    );
    context.note(`Attached to ${formatImageReference(reference)}`);
    context.print(manifest.digest);
  },
};

const pull: CommandSpec = {
  name: 'pull',
  summary: 'Pull the files of an artifact',
  usage: '[flags] REFERENCE',
  args: { min: 1, max: 1 },
  flags: [
    ...registryFlags(),
    REGISTRIES_D_FLAG,
    ...POLICY_FLAGS,
    { name: 'output', short: 'o', kind: 'string', default: '.', usage: 'write files below `DIRECTORY`' },
    { name: 'keep-old-files', short: 'k', kind: 'bool', usage: 'do not replace files that exist' },
    {
      name: 'allow-path-traversal',
      short: 'T',
      kind: 'bool',
      usage: 'allow files outside the output directory',
    },
    QUIET,
  ],
  run: async (context) => {
    const { pullArtifact } = await import('../../../artifact/pull.ts');
    const { resolve } = await import('node:path');
    const reference = await parseAnyReference(context.args[0] as string, context.io.workingDirectory);
    const { flags } = context;
    const policy = await imagePolicy(context, policyFlags(flags));
    const files = await withProgress(context, (options) =>
      pullArtifact(policy, reference, transportContext(context), {
        directory: resolve(context.io.workingDirectory, flags.string('output')),
        keepOldFiles: flags.bool('keep-old-files'),
        allowPathTraversal: flags.bool('allow-path-traversal'),
        ...options,
      }),
    );
    if (files.length === 0) context.note('The artifact has no titled files: nothing was written');
    for (const { path } of files) context.print(path);
  },
};

const discover: CommandSpec = {
  name: 'discover',
  summary: 'Show what refers to an image',
  usage: '[flags] REFERENCE',
  args: { min: 1, max: 1 },
  flags: [
    ...registryFlags(),
    { name: 'artifact-type', kind: 'string', usage: 'show referrers of this `TYPE` alone' },
    { name: 'depth', kind: 'int', default: 4, usage: 'follow referrers of referrers so far' },
    { name: 'format', kind: 'string', default: 'tree', usage: 'print as `tree` or json' },
  ],
  run: async (context) => {
    const { discoverReferrers } = await import('../../../artifact/discover.ts');
    const reference = await parseAnyReference(context.args[0] as string, context.io.workingDirectory);
    const { flags } = context;
    const node = await discoverReferrers(reference, transportContext(context), {
      depth: flags.number('depth'),
      ...(flags.changed('artifact-type') ? { artifactType: flags.string('artifact-type') } : {}),
      signal: context.signal,
    });
    context.print(
      flags.string('format') === 'json' ? JSON.stringify(node, null, 2) : renderReferrers(node).join('\n'),
    );
  },
};

function renderReferrers(node: ReferrerNode, lead = ''): string[] {
  const text =
    lead === ''
      ? node.descriptor.digest
      : `${lead}${node.descriptor.artifactType ?? node.descriptor.mediaType} ${node.descriptor.digest}`;
  const inner = lead.replace(/├── $/, '│   ').replace(/└── $/, '    ');
  return [
    text,
    ...node.referrers.flatMap((child, at) =>
      renderReferrers(child, `${inner}${at === node.referrers.length - 1 ? '└── ' : '├── '}`),
    ),
  ];
}

/** `file:type`; the type has a slash, so that a colon in a name does not split it. */
function parseFile(text: string): ArtifactFile {
  const colon = text.lastIndexOf(':');
  const type = text.slice(colon + 1);
  return colon > 0 && /^[\w.+-]+\/[\w.+-]+$/.test(type) && !type.startsWith('/')
    ? { path: text.slice(0, colon), mediaType: type }
    : { path: text };
}

function packing(context: CommandContext): PushArtifactOptions {
  const { flags } = context;
  const annotations = flags.list('annotation').map((pair): [string, string] => {
    const equals = pair.indexOf('=');
    if (equals < 1) throw new UsageError('usage', `annotation ${JSON.stringify(pair)} is not KEY=VALUE`);
    return [pair.slice(0, equals), pair.slice(equals + 1)];
  });
  return {
    annotations: Object.fromEntries(annotations),
    signal: context.signal,
    ...(flags.changed('artifact-type') ? { artifactType: flags.string('artifact-type') } : {}),
    ...(flags.changed('config') ? { config: parseFile(flags.string('config')) } : {}),
  };
}

async function withProgress<T>(
  context: CommandContext,
  action: (options: Pick<PushArtifactOptions, 'onProgress' | 'signal'>) => Promise<T>,
): Promise<T> {
  const progress = await createProgress({
    mode: context.flags.bool('quiet') ? 'none' : 'auto',
    stream: context.io.stderr,
    warnings: context.io.stderr,
  });
  try {
    return await action({ onProgress: progress.onProgress, signal: context.signal });
  } finally {
    progress.close();
  }
}
