import { imageNotKnown } from '../../../build/container/find-image.ts';
import { findLocalImage } from '../../../build/container/pull.ts';
import { formatReference } from '../../../image/reference.ts';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { localName } from './local-name.ts';
import { openSession } from './session.ts';

export const tag: CommandSpec = {
  name: 'tag',
  summary: 'Add names to an image',
  usage: '[flags] IMAGE NAME...',
  examples: ['buildah tag app registry.example.com/team/app:1.0'],
  args: { min: 2 },
  run: runTag,
};

async function runTag(context: CommandContext): Promise<void> {
  const [name = '', ...names] = context.args;
  await using session = await openSession(context);
  const found = await findLocalImage(session.surroundings, name, { forPlatform: false });
  if (!found) throw imageNotKnown(name);
  // One after another, each before those that are there.
  const full = names.map((text) => formatReference(localName(text))).reverse();
  await session.store.images.addNames(found.record.id, full);
}
