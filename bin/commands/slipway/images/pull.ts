import { pullImage } from '../../../../build/container/pull.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../../cli/contract.ts';
import { parseDuration } from '../../../cli/duration.ts';
import { retryDefaults } from '../../buildah/containers-conf.ts';
import { DECRYPTION_FLAG } from '../../buildah/encryption-flags.ts';
import { PLATFORM_FLAGS } from '../../buildah/platform-flags.ts';
import { everyTag, pullPolicyOf } from '../../buildah/pull.ts';
import { REGISTRY_FLAGS, RETRY_FLAGS } from '../../buildah/registry-flags.ts';
import { openSession, type Session } from '../../buildah/session.ts';

const FLAGS: readonly FlagSpec[] = [
  ...REGISTRY_FLAGS,
  ...RETRY_FLAGS,
  ...PLATFORM_FLAGS,
  DECRYPTION_FLAG,
  { name: 'all-tags', short: 'a', kind: 'bool', usage: 'pull every tag of the repositories' },
  {
    name: 'disable-content-trust',
    kind: 'bool',
    usage: 'accepted for scripts',
    noEffect: 'policy.json decides about trust',
  },
  {
    name: 'policy',
    kind: 'string',
    default: 'always',
    usage: 'when to pull: `always`, missing, newer or never',
  },
  { name: 'quiet', short: 'q', kind: 'bool', usage: 'print no progress' },
];

/** `slipway pull`: podman pull. */
export const pull: CommandSpec = {
  name: 'pull',
  summary: 'Pull images into local storage',
  usage: '[flags] IMAGE [IMAGE...]',
  examples: ['slipway pull registry.example.com/app:1', 'slipway pull oci:layout:1.0 docker-archive:app.tar'],
  args: { min: 1 },
  flags: FLAGS,
  configuredDefaults: retryDefaults,
  run: async (context) => {
    const quiet = context.flags.bool('quiet');
    await using session = await openSession(context, { flags: FLAGS, quiet });
    for (const id of await pullAll(context, session)) context.print(id);
  },
};

async function pullAll(context: CommandContext, session: Session): Promise<ReadonlySet<string>> {
  const { flags, args } = context;
  const options = {
    pullPolicy: pullPolicyOf(flags.string('policy')),
    retries: flags.number('retry'),
    retryDelayMs: parseDuration(flags.string('retry-delay')),
    decryptionKeys: flags.list('decryption-key'),
    customPlatform: session.customPlatform,
    hostPlatform: session.hostPlatform,
    onStatus: flags.bool('quiet') ? undefined : context.note,
    onOtherPlatform: session.warn,
  };
  const ids = new Set<string>();
  for (const name of args)
    for (const one of flags.bool('all-tags') ? await everyTag(session, name) : [name])
      ids.add((await pullImage(session.surroundings, one, options)).id);
  return ids;
}
