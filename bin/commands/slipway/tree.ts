import type { ContentNode } from '../../../transport/look/tree.ts';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { formatByteSize } from '../../cli/duration.ts';
import { parseAnyReference } from '../../cli/image-reference.ts';
import { registryFlags } from '../../cli/registry-access.ts';
import { transportContext } from '../../cli/transport-context.ts';

/** `slipway tree`. */
export const tree: CommandSpec = {
  name: 'tree',
  summary: 'Show an index, its manifests, layers and referrers as a tree',
  description:
    'Shows what a reference leads to: index, platforms, manifests, configs, layers with sizes and the commands that made them, and referrers such as signatures and SBOMs. No layer is read.',
  usage: '[flags] REFERENCE',
  examples: ['slipway tree docker://registry.example.com/app:1', 'slipway tree --json oci:layout:app'],
  args: { min: 1, max: 1 },
  flags: [...registryFlags(), { name: 'json', kind: 'bool', usage: 'print the tree as JSON' }],
  run: async (context: CommandContext) => {
    const { describeContent } = await import('../../../transport/look/tree.ts');
    const reference = await parseAnyReference(context.args[0] as string, context.io.workingDirectory);
    const node = await describeContent(reference, transportContext(context));
    context.print(context.flags.bool('json') ? JSON.stringify(node, null, 2) : renderTree(node).join('\n'));
  },
};

/** Lines with box characters; digests are shortened, sizes decimal. */
export function renderTree(node: ContentNode, lead = ''): string[] {
  const lines = [`${lead === '' ? '' : lead}${label(node)}`];
  const inner = lead.replace(/├── $/, '│   ').replace(/└── $/, '    ');
  for (const [at, child] of node.children.entries())
    lines.push(...renderTree(child, `${inner}${at === node.children.length - 1 ? '└── ' : '├── '}`));
  return lines;
}

function label({ role, descriptor, note }: ContentNode): string {
  const text = note
    ? ` ${[...note]
        .map((char) => (char < ' ' ? ' ' : char))
        .join('')
        .slice(0, 80)}`
    : '';
  return `${role} ${descriptor.digest.slice(0, 19)} ${formatByteSize(descriptor.size)}${text}`;
}
