import { writeFileSync } from 'node:fs';
import type { CommandContext, CommandSpec, FlagSpec } from '../../../cli/contract.ts';
import { usage } from '../arguments.ts';
import {
  ADD_COMPRESSION_FLAG,
  addedCompressions,
  COMPRESSION_FLAGS,
  compressionChoice,
} from '../compression-flags.ts';
import { retryDefaults } from '../containers-conf.ts';
import { manifestFormat, pushDestination } from '../push.ts';
import { REGISTRY_FLAGS, RETRY_FLAGS, retryDelay } from '../registry-flags.ts';
import { openSession } from '../session.ts';
import { signersOf } from '../signing.ts';
import { findList } from './find-list.ts';
import { pushList } from './push-list.ts';

const FLAGS: readonly FlagSpec[] = [
  ...REGISTRY_FLAGS,
  ...RETRY_FLAGS,
  ...COMPRESSION_FLAGS,
  ADD_COMPRESSION_FLAG,
  { name: 'all', kind: 'bool', default: true, usage: 'push the images of the list too' },
  { name: 'digestfile', kind: 'string', usage: 'write the digest of the list to this file' },
  { name: 'format', short: 'f', kind: 'string', usage: 'manifest format: oci or v2s2' },
  { name: 'insecure', kind: 'bool', usage: 'neither require HTTPS nor check certificates', hidden: true },
  { name: 'quiet', short: 'q', kind: 'bool', usage: 'print no progress' },
  { name: 'remove-signatures', kind: 'bool', usage: 'drop signatures' },
  { name: 'purge', kind: 'bool', usage: 'the same as --rm', hidden: true },
  { name: 'rm', kind: 'bool', usage: 'remove the list after it was pushed' },
  { name: 'sign-by', kind: 'string', usage: 'sign with the GPG key of this `FINGERPRINT`' },
];

export const push: CommandSpec = {
  name: 'push',
  summary: 'Push a manifest list and its images',
  usage: '[flags] LIST [DESTINATION]',
  args: { min: 1 },
  flags: FLAGS,
  configuredDefaults: retryDefaults,
  run: runPush,
};

async function runPush(context: CommandContext): Promise<void> {
  const { flags, args } = context;
  const [name = '', destination = name] = args;
  if (args.length > 2) throw usage('only two arguments are necessary to push: source and destination');
  if (name === '' || destination === '') throw usage('invalid image name ""');
  const format = manifestFormat(flags.string('format'));
  if (format === 'schema1')
    throw usage(
      `unknown format "${flags.string('format')}". Choose on of the supported formats: 'oci' or 'v2s2'`,
    );
  await using session = await openSession(context, { flags: FLAGS, quiet: flags.bool('quiet') });
  const { record } = await findList(session, name);
  const { digest } = await pushList(session, record, await pushDestination(session, destination), {
    ...(await compressionChoice(context)),
    addCompressions: await addedCompressions(context),
    format,
    select: flags.bool('all') ? 'all' : 'index-only',
    removeSignatures: flags.bool('remove-signatures'),
    signers: await signersOf(context),
    retries: flags.number('retry'),
    retryDelayMs: retryDelay(context),
  });
  if (flags.bool('rm') || flags.bool('purge')) await session.store.deleteImage(record.id);
  if (flags.string('digestfile')) writeFileSync(flags.string('digestfile'), digest);
}
