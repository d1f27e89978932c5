import { formatImageReference } from '../../../../transport/references.ts';
import type { CommandSpec } from '../../../cli/contract.ts';
import { parseAnyReference } from '../../../cli/image-reference.ts';
import { registryFlags } from '../../../cli/registry-access.ts';
import { transportContext } from '../../../cli/transport-context.ts';
import { PLATFORM, platformFlag } from './shared.ts';

export const tag: CommandSpec = {
  name: 'tag',
  summary: 'Give an image or artifact more tags where it is',
  usage: '[flags] REFERENCE TAG...',
  examples: ['slipway artifact tag registry.example.com/app:1.4.2 1.4 1 latest'],
  args: { min: 2 },
  flags: registryFlags(),
  run: async (context) => {
    const { tagArtifact } = await import('../../../../artifact/manifest.ts');
    const [name, ...tags] = context.args as [string, ...string[]];
    const reference = await parseAnyReference(name, context.io.workingDirectory);
    const { digest } = await tagArtifact(reference, tags, transportContext(context));
    for (const text of tags) context.note(`Tagged ${text}`);
    context.print(digest);
  },
};

export const resolve: CommandSpec = {
  name: 'resolve',
  summary: 'Print the digest that a reference means now',
  usage: '[flags] REFERENCE',
  args: { min: 1, max: 1 },
  flags: [
    ...registryFlags(),
    PLATFORM,
    { name: 'full-reference', short: 'l', kind: 'bool', usage: 'print the whole reference with the digest' },
  ],
  run: async (context) => {
    const { fetchManifest } = await import('../../../../artifact/manifest.ts');
    const { selectImage } = await import('../../../../transport/select-image.ts');
    const reference = await parseAnyReference(context.args[0] as string, context.io.workingDirectory);
    const { descriptor } = await fetchManifest(reference, transportContext(context), platformFlag(context));
    const { digest } = descriptor;
    if (!context.flags.bool('full-reference')) return context.print(digest);
    const pinned = (await selectImage(reference, { digest })) ?? reference;
    context.print(pinned.transport === 'docker' ? pinned.policyIdentity : formatImageReference(pinned));
  },
};
