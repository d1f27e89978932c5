import type { WorkingContainer } from '../../../build/container/contract.ts';
import type { PreparedMounts } from '../../../build/exec/mounts/prepare.ts';
import type { CommandContext } from '../../cli/contract.ts';
import { usage } from './arguments.ts';
import type { Session } from './session.ts';

const NOTHING: PreparedMounts = { mounts: [], environment: [], [Symbol.asyncDispose]: async () => undefined };

/** Opens what `buildah run --mount` names; the same kinds as RUN's but secrets and agents, which only builds have. */
export async function prepareRunMounts(
  { flags }: CommandContext,
  session: Session,
  container: WorkingContainer,
): Promise<PreparedMounts> {
  const texts = flags.list('mount');
  if (texts.length === 0) return NOTHING;
  for (const text of texts) {
    const type = /(?:^|,)type=([^,]*)/.exec(text)?.[1] ?? 'bind';
    if (!['bind', 'cache', 'tmpfs'].includes(type)) throw usage(`invalid filesystem type "${type}"`);
  }
  const { openMountSession } = await import('./mount-session.ts');
  return openMountSession(session, container, texts, {
    contextDirectory: flags.string('contextdir') || '/',
    workingDirectory: flags.string('workingdir') || container.ociConfig.config?.WorkingDir || '/',
  });
}
