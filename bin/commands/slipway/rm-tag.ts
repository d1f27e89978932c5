import { DockerReference } from '../../../transport/docker/reference.ts';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';
import { parseAnyReference } from '../../cli/image-reference.ts';
import { registryFlags } from '../../cli/registry-access.ts';
import { transportContext } from '../../cli/transport-context.ts';
import { commandSignal, RETRY_FLAGS, retryOptions } from '../skopeo/surroundings.ts';
import { adopt } from './adopt.ts';

/** `slipway rm-tag`. */
export const removeTags: CommandSpec = adopt({
  name: 'rm-tag',
  summary: 'Remove tags alone: the image and its other tags stay',
  description:
    'Removes tags from a registry, and nothing but the tags. Where the registry deletes no single tags, the tag gets a manifest of its own, which is deleted then. Should the registry remove an image with its tag, the other tags are put back. Prints what was removed.',
  usage: '[flags] REFERENCE...',
  examples: ['slipway rm-tag registry.example.com/app:1.0-rc1 registry.example.com/app:1.0-rc2'],
  args: { min: 1 },
  flags: [...registryFlags(), ...RETRY_FLAGS],
  run,
});

async function run(context: CommandContext): Promise<void> {
  const references = await Promise.all(context.args.map((text) => tagOf(context, text)));
  const signal = commandSignal(context);
  const surroundings = transportContext(context, { signal });
  const { deleteRegistryTag } = await import('../../../transport/docker/delete-tag.ts');
  const { withRetries } = await import('../../../transport/retry.ts');
  for (const reference of references) {
    await withRetries(
      'rm-tag',
      () => deleteRegistryTag(reference, surroundings),
      retryOptions(context, signal),
    );
    context.print(reference.policyIdentity);
  }
}

/** Everything is checked before anything is removed. */
async function tagOf(context: CommandContext, text: string): Promise<DockerReference> {
  const reference = await parseAnyReference(text, context.io.workingDirectory);
  if (!(reference instanceof DockerReference))
    throw new UsageError('usage', `${text} is not in a registry`, {
      hint: 'for local storage there is slipway untag',
    });
  // A name without a tag would mean the tag that people want to lose least.
  if (reference.named.tag === undefined || !text.endsWith(`:${reference.named.tag}`))
    throw new UsageError('usage', `${text} names no tag: write NAME:TAG`);
  return reference;
}
