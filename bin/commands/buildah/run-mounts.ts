import { posix } from 'node:path';
import type { WorkingContainer } from '../../../build/container/contract.ts';
import type { PreparedMounts } from '../../../build/exec/mounts/prepare.ts';
import { mountFields } from '../../../build/parse/mount-fields.ts';
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
  for (const text of texts) checkRunMount(text, flags.string('contextdir') !== '');
  const { openMountSession } = await import('./mount-session.ts');
  return openMountSession(session, container, texts, {
    contextDirectory: flags.string('contextdir') || '/',
    workingDirectory: flags.string('workingdir') || container.ociConfig.config?.WorkingDir || '/',
  });
}

/** Nothing is relative here, and nothing stands for a context that there is none of. */
function checkRunMount(text: string, hasContext: boolean): void {
  if (!text.includes(','))
    throw usage(
      `"${text}": incorrect mount format: should be --mount type=<bind|tmpfs>,[src=<host-dir>,]target=<ctr-dir>[,options]`,
    );
  const fields = new Map(mountFields(text));
  const type = fields.get('type') ?? 'bind';
  if (!['bind', 'cache', 'tmpfs'].includes(type)) throw usage(`invalid filesystem type "${type}"`);
  const target = fields.get('target') ?? fields.get('dst') ?? fields.get('destination');
  if (target !== undefined && !posix.isAbsolute(target))
    throw usage(`invalid container path "${target}", must be an absolute path`);
  const hasSource = ['src', 'source', 'from'].some((key) => fields.has(key));
  if (type === 'bind' && !hasContext && !hasSource) throw usage('must set volume source');
}
