import { findLocalImage } from '../../../../build/container/pull.ts';
import type { CommandContext, CommandSpec } from '../../../cli/contract.ts';
import { openSession } from '../session.ts';
import { findList } from './find-list.ts';

export const exists: CommandSpec = {
  name: 'exists',
  summary: 'Say by the exit code whether a manifest list is there',
  description:
    'The exit code is 0 where there is such a list, 1 where there is none, 125 where it is an image.',
  usage: '[flags] LIST',
  args: { min: 1, max: 1 },
  run: runExists,
};

async function runExists(context: CommandContext): Promise<number> {
  await using session = await openSession(context);
  const name = context.args[0] as string;
  if (!(await findLocalImage(session.surroundings, name, { forPlatform: false }))) return 1;
  await findList(session, name);
  return 0;
}
