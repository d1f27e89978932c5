import type { ImageReference, TransportName } from '../../../transport/contract.ts';
import type { IndexSelection } from '../../../transport/copy-options.ts';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { referrerLine, runCopy, copy as skopeoCopy } from '../skopeo/copy.ts';
import { adopt } from './adopt.ts';

/** They hold single images. */
const WITHOUT_INDEXES: readonly TransportName[] = ['docker-archive', 'docker-daemon', 'containers-storage'];

/** `slipway copy`: a graph copy, by Skopeo's flags. */
export const copy: CommandSpec = adopt(skopeoCopy, {
  defaults: { referrers: true },
  change: {
    summary: 'Copy an image, all its platforms and what refers to it',
    description:
      'Copies an image with its signatures, SBOMs and attestations, and of an index all platforms where the destination can hold them. A bare name means a registry. Prints the digest that the destination has now.\n\n--referrers=false leaves behind what refers to the image; --multi-arch system takes the image for this platform alone.',
    examples: [
      'slipway copy registry.example.com/app:1 mirror.example.com/app:1',
      'slipway copy --referrers-type application/spdx+json registry.example.com/app:1 oci:layout:app',
      'slipway copy --progress json registry.example.com/app:1 mirror.example.com/app:1',
    ],
    run,
  },
});

async function run(context: CommandContext): Promise<void> {
  const { digest, referrers } = await runCopy(context, selection);
  // The events have said it.
  if (context.flags.string('progress') === 'json') return;
  const told =
    context.flags.changed('referrers') || Object.values(referrers ?? {}).some((count) => count > 0);
  if (referrers && told && !context.flags.bool('quiet')) context.note(referrerLine(referrers));
  context.print(digest);
}

function selection({ transport }: ImageReference): IndexSelection {
  return WITHOUT_INDEXES.includes(transport) ? 'system' : 'all';
}
