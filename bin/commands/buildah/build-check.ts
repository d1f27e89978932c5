import { formatReport } from '../../../build/lint/format.ts';
import type { CommandContext } from '../../cli/contract.ts';
import { refuseLateFlags } from './arguments.ts';
import { BUILD_FLAGS } from './build-flags.ts';
import { platformsOf } from './build-options.ts';
import { checkFiles, exitCodeOf } from './check.ts';
import { openSession } from './session.ts';

/** `build --check`: lints with what the flags say about arguments, target, platform and contexts; nothing is built. */
export async function checkBuild(context: CommandContext): Promise<number> {
  const { flags, io } = context;
  refuseLateFlags(context.args);
  const [platform] = platformsOf(context);
  await using session = await openSession(context, { flags: BUILD_FLAGS, quiet: true, platform });
  const { report, files } = await checkFiles(context, session, {
    platform,
    contexts: new Set(flags.list('build-context').map((text) => text.split('=', 1)[0] as string)),
    registries: flags.string('pull') !== 'never' && !flags.bool('pull-never'),
  });
  io.stdout.write(`${formatReport(report, files).join('\n')}\n`);
  return exitCodeOf(report);
}
