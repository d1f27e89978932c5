import { findLocalImage } from '../../../../build/container/pull.ts';
import { readStoredImage } from '../../../../build/container/stored-image.ts';
import type { CommandContext, CommandSpec } from '../../../cli/contract.ts';
import { openSession } from '../session.ts';

export const exists: CommandSpec = {
  name: 'exists',
  summary: 'Say by the exit code whether a manifest list is there',
  description: 'The exit code is 0 where there is such a list, and 1 where there is none.',
  usage: '[flags] LIST',
  args: { min: 1, max: 1 },
  run: runExists,
};

async function runExists(context: CommandContext): Promise<number> {
  await using session = await openSession(context);
  const found = await findLocalImage(session.surroundings, context.args[0] as string, { forPlatform: false });
  if (!found) return 1;
  return (await readStoredImage(session.store, found.record)).manifest.kind === 'index' ? 0 : 1;
}
