import { writeFileSync } from 'node:fs';
import { copyStored } from '../../../build/commit/copy-stored.ts';
import { imageNotKnown } from '../../../build/container/find-image.ts';
import { findLocalImage } from '../../../build/container/pull.ts';
import { readStoredImage } from '../../../build/container/stored-image.ts';
import { BuildError } from '../../../build/error.ts';
import { SlipwayError } from '../../../errors.ts';
import { formatReference, type NamedReference, parseReference } from '../../../image/reference.ts';
import type { ImageReference } from '../../../transport/contract.ts';
import { TRANSPORTS } from '../../../transport/contract.ts';
import type { CopyOptions } from '../../../transport/copy-options.ts';
import { parseImageReference } from '../../../transport/references.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../cli/contract.ts';
import { refuseLateFlags, usage } from './arguments.ts';
import { BLOB_CACHE_FLAG, blobDirectoryOf } from './blob-cache-flag.ts';
import { COMPRESSION_FLAGS, compressionChoice } from './compression-flags.ts';
import { retryDefaults } from './containers-conf.ts';
import { ENCRYPTION_FLAGS, encryptionOptions } from './encryption-flags.ts';
import { pushList } from './manifest/push-list.ts';
import { REGISTRY_FLAGS, RETRY_FLAGS, retryDelay } from './registry-flags.ts';
import { openSession, type Session } from './session.ts';
import { signersOf } from './signing.ts';

const FLAGS: readonly FlagSpec[] = [
  ...REGISTRY_FLAGS,
  ...RETRY_FLAGS,
  ...COMPRESSION_FLAGS,
  ...ENCRYPTION_FLAGS,
  { name: 'all', kind: 'bool', usage: 'push every image of a manifest list' },
  BLOB_CACHE_FLAG,
  { name: 'digestfile', kind: 'string', usage: 'write the digest of what was pushed to this file' },
  { name: 'disable-compression', short: 'D', kind: 'bool', usage: 'do not compress layers' },
  { name: 'format', short: 'f', kind: 'string', usage: 'manifest format: oci, v2s1 or v2s2' },
  { name: 'quiet', short: 'q', kind: 'bool', usage: 'print no progress' },
  { name: 'remove-signatures', kind: 'bool', usage: 'drop signatures' },
  { name: 'purge', kind: 'bool', usage: 'the same as --rm', hidden: true },
  { name: 'rm', kind: 'bool', usage: 'remove a manifest list after it was pushed' },
  { name: 'sign-by', kind: 'string', usage: 'sign with the GPG key of this `FINGERPRINT`' },
];

export const push: CommandSpec = {
  name: 'push',
  summary: 'Push an image from local storage to another place',
  description: `Without a destination the image's own name is pushed to. Transports: ${TRANSPORTS.filter((name) => !['tarball', 'sif'].includes(name)).join(', ')}.`,
  usage: '[flags] IMAGE [DESTINATION]',
  examples: ['buildah push app registry.example.com/app:1.0', 'buildah push app oci:layout:1.0'],
  flags: FLAGS,
  configuredDefaults: retryDefaults,
  interspersed: false,
  run: runPush,
};

async function runPush(context: CommandContext): Promise<void> {
  const { flags, args } = context;
  refuseLateFlags(args);
  const [name, given] = args;
  if (name === undefined) throw usage('at least a source image ID must be specified');
  if (args.length > 2) throw usage('only two arguments are necessary to push: source and destination');
  if (name === '') throw usage('invalid image name ""');
  const format = manifestFormat(flags.string('format'));
  await using session = await openSession(context, { flags: FLAGS, quiet: flags.bool('quiet') });
  const text = given ?? name;
  const destination = await pushDestination(session, text);
  const found = await findLocalImage(session.surroundings, name, { forPlatform: !flags.bool('all') });
  if (!found) throw failed(imageNotKnown(name), name, text);
  const options = await pushOptions(context, format);
  const stored = await readStoredImage(session.store, found.record);
  const { digest } =
    stored.manifest.kind === 'index'
      ? await pushList(session, found.record, destination, {
          ...options,
          select: flags.bool('all') ? 'all' : 'index-only',
        })
      : await copyStored(session.surroundings, found.record.id, destination, {
          ...options,
          additionalTags: archiveTags(destination, found.resolvedName),
        }).catch((cause: unknown) => {
          throw failed(cause, name, text);
        });
  if (stored.manifest.kind === 'index' && (flags.bool('rm') || flags.bool('purge')))
    await session.store.deleteImage(found.record.id);
  if (flags.string('digestfile')) writeFileSync(flags.string('digestfile'), digest);
}

/** An archive of Docker's keeps the name that the image was pushed by, beside the one that it is given. */
function archiveTags(destination: ImageReference, name: string): NamedReference[] {
  if (destination.transport !== 'docker-archive' || !/[/:]/.test(name)) return [];
  if (destination.named && formatReference(destination.named) === name) return [];
  const reference = parseReference(name);
  return reference.tag === undefined || reference.digest !== undefined ? [] : [reference];
}

/** A name without a transport means a registry. */
export async function pushDestination({ surroundings }: Session, text: string): Promise<ImageReference> {
  const transport = text.split(':')[0] as string;
  const known = text.includes(':') && (TRANSPORTS as readonly string[]).includes(transport);
  if (known && !(transport === 'docker' && !text.startsWith('docker://')))
    return parseImageReference(text, surroundings);
  if (text.includes('://')) return parseImageReference(text, surroundings);
  return parseImageReference(`docker://${text}`, surroundings);
}

export function manifestFormat(text: string): CopyOptions['format'] {
  switch (text) {
    case '':
      return undefined;
    case 'oci':
      return 'oci';
    case 'v2s1':
      return 'schema1';
    case 'v2s2':
    case 'docker':
      return 'docker';
    default:
      throw usage(`unknown format "${text}". Choose on of the supported formats: 'oci', 'v2s1', or 'v2s2'`);
  }
}

async function pushOptions(context: CommandContext, format: CopyOptions['format']) {
  const { flags } = context;
  return {
    ...(await compressionChoice(context)),
    ...(await encryptionOptions(context)),
    format,
    layers: layersOf(flags),
    blobDirectory: blobDirectoryOf(context),
    removeSignatures: flags.bool('remove-signatures'),
    signers: await signersOf(context),
    retries: flags.number('retry'),
    retryDelayMs: retryDelay(context),
  };
}

/** Podman's push compresses for a dir: destination only where it is told to. */
function layersOf(flags: CommandContext['flags']) {
  if (flags.bool('disable-compression')) return 'plain' as const;
  return flags.declares('compress') && !flags.bool('compress') ? undefined : ('compress' as const);
}

function failed(cause: unknown, name: string, destination: string): unknown {
  if (!(cause instanceof SlipwayError)) return cause;
  const { hint, exitCode, retryable } = cause;
  return new BuildError('bad-argument', `pushing image "${name}" to "${destination}": ${cause.message}`, {
    cause,
    hint,
    exitCode,
    retryable,
  });
}
