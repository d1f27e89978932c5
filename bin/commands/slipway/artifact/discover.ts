import type { ReferrerNode } from '../../../../artifact/discover.ts';
import { printable } from '../../../../image/printable.ts';
import type { CommandSpec } from '../../../cli/contract.ts';
import { parseAnyReference } from '../../../cli/image-reference.ts';
import { registryFlags } from '../../../cli/registry-access.ts';
import { transportContext } from '../../../cli/transport-context.ts';
import { PLATFORM, platformFlag, printResult } from './shared.ts';

export const discover: CommandSpec = {
  name: 'discover',
  summary: 'Show what refers to an image',
  usage: '[flags] REFERENCE',
  examples: ['slipway artifact discover --artifact-type application/spdx+json registry.example.com/app:1'],
  args: { min: 1, max: 1 },
  flags: [
    ...registryFlags(),
    { name: 'artifact-type', kind: 'string', usage: 'show referrers of this `TYPE` alone' },
    { name: 'depth', kind: 'int', default: 4, usage: 'follow referrers of referrers so far' },
    {
      name: 'format',
      kind: 'string',
      default: 'tree',
      usage: 'print as tree, json, or through the Go template `FORMAT`',
    },
    PLATFORM,
  ],
  run: async (context) => {
    const { discoverReferrers } = await import('../../../../artifact/discover.ts');
    const reference = await parseAnyReference(context.args[0] as string, context.io.workingDirectory);
    const { flags, signal } = context;
    const platform = platformFlag(context);
    const node = await discoverReferrers(reference, transportContext(context), {
      depth: flags.number('depth'),
      ...(flags.changed('artifact-type') ? { artifactType: flags.string('artifact-type') } : {}),
      ...(platform ? { platform } : {}),
      signal,
    });
    await printResult(context, node, renderReferrers(node).join('\n'));
  },
};

function renderReferrers(node: ReferrerNode, lead = ''): string[] {
  const { artifactType, mediaType, digest } = node.descriptor;
  const text = lead === '' ? digest : `${lead}${printable(artifactType ?? mediaType)} ${digest}`;
  const inner = lead.replace(/├── $/, '│   ').replace(/└── $/, '    ');
  return [
    text,
    ...node.referrers.flatMap((child, at) =>
      renderReferrers(child, `${inner}${at === node.referrers.length - 1 ? '└── ' : '├── '}`),
    ),
  ];
}
