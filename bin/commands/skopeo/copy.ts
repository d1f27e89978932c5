import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type NamedReference, parseReference } from '../../../image/reference.ts';
import type { CompressionChoice } from '../../../transport/compress.ts';
import type {
  ImageReference,
  OnProgress,
  ReferrerCounts,
  TransportContext,
  TransportName,
} from '../../../transport/contract.ts';
import type { CopyOptions, CopyResult, IndexSelection } from '../../../transport/copy-options.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';
import { imageSigners, signingChoice } from '../../cli/image-signers.ts';
import { createProgress } from '../../cli/progress.ts';
import { registryFlags } from '../../cli/registry-access.ts';
import { cachePath, imageFlags, transportContext } from '../../cli/transport-context.ts';
import { readEncryption } from './copy-encryption.ts';
import {
  progressStream,
  readIdentity,
  readProgress,
  readReferrers,
  SHARED_COPY_FLAGS,
  sharedCopyOptions,
} from './copy-flags.ts';
import {
  aliasedFlags,
  commandSignal,
  debugged,
  openPolicy,
  parseName,
  prefixed,
  RETRY_FLAGS,
  retryOptions,
  warn,
} from './surroundings.ts';

const DESTINATION_FLAGS: readonly FlagSpec[] = [
  { name: 'dest-compress', kind: 'bool', usage: 'compress layers (dir: destinations)' },
  { name: 'dest-decompress', kind: 'bool', usage: 'decompress layers (dir: destinations)' },
  {
    name: 'dest-oci-accept-uncompressed-layers',
    kind: 'bool',
    usage: 'keep plain layers plain (oci: destinations)',
  },
  {
    name: 'dest-compress-format',
    kind: 'string',
    usage: 'compress layers with `FORMAT`: gzip, zstd or zstd:chunked',
  },
  { name: 'dest-compress-level', kind: 'int', usage: 'compress at `LEVEL`: gzip 1 to 9, zstd 1 to 20' },
  {
    name: 'dest-force-compress-format',
    kind: 'bool',
    usage: 'do not use layers of another compression that are there already',
  },
  {
    name: 'dest-precompute-digests',
    kind: 'bool',
    usage: 'compute digests before uploading, so that nothing is uploaded that is there',
  },
];

/** `skopeo copy`. */
export const copy: CommandSpec = {
  name: 'copy',
  summary: 'Copy an image from one place to another',
  description:
    'Copies an image between registries, directories, archives, local storage and daemons.\n\nSupported transports:\ncontainers-storage, dir, docker, docker-archive, docker-daemon, oci, oci-archive, sif, tarball',
  usage: '[command options] SOURCE-IMAGE DESTINATION-IMAGE',
  examples: [
    'skopeo copy docker://quay.io/skopeo/stable:latest docker://registry.example.com/skopeo:latest',
    'skopeo copy --all docker://quay.io/skopeo/stable:latest oci:layout:latest',
  ],
  args: { min: 2, max: 2, message: 'Exactly two arguments expected' },
  flags: [
    ...SHARED_COPY_FLAGS,
    ...registryFlags('src-'),
    ...imageFlags('src-'),
    ...registryFlags('dest-'),
    ...imageFlags('dest-'),
    ...DESTINATION_FLAGS,
    ...RETRY_FLAGS,
    { name: 'screds', kind: 'string', usage: 'as --src-creds', hidden: true },
    { name: 'dcreds', kind: 'string', usage: 'as --dest-creds', hidden: true },
    {
      name: 'additional-tag',
      kind: 'slice',
      usage: 'give the image this `NAME:TAG` too (docker-archive: destinations)',
    },
    { name: 'quiet', short: 'q', kind: 'bool', usage: 'say nothing while copying' },
    { name: 'all', short: 'a', kind: 'bool', usage: 'copy all images of an index' },
    {
      name: 'multi-arch',
      kind: 'string',
      usage: 'copy of an index `WHAT`: system, all, index-only, or platforms such as linux/amd64,linux/arm64',
    },
    {
      name: 'sparse',
      kind: 'string',
      default: 'keep',
      usage: 'when only some images of an index are copied, `keep` its other entries or strip them',
    },
    { name: 'sign-identity', kind: 'string', usage: 'sign as `NAME` instead of the destination' },
    { name: 'digestfile', kind: 'string', usage: 'write the digest of the copied manifest to `FILE`' },
    {
      name: 'encryption-key',
      kind: 'slice',
      usage: 'encrypt layers to `KEY`: jwe:FILE, pkcs7:FILE or pgp:ADDRESS',
    },
    {
      name: 'encrypt-layer',
      kind: 'slice',
      usage: 'encrypt only the layer at `INDEX`, negative from the top',
    },
    { name: 'decryption-key', kind: 'slice', usage: 'decrypt layers with `KEY[:PASSWORD]`' },
    {
      name: 'image-parallel-copies',
      kind: 'uint',
      default: 0,
      usage: 'copy at most this many layers at once; 0: the default of 6',
    },
  ],
  run: async (context) => {
    const { referrers } = await runCopy(context);
    if (!referrers || context.flags.bool('quiet') || context.flags.string('progress') === 'json') return;
    context.print(referrerLine(referrers));
  },
};

/** What became of referrers, for people. */
export function referrerLine({ copied, present, unsupported }: ReferrerCounts): string {
  return `Copied ${copied} referrers, ${present} were there, ${unsupported} cannot be held`;
}

/**
 * Copies as the flags say.
 * @param selection of the images of an index where no flag says
 */
export async function runCopy(
  context: CommandContext,
  selection: (destination: ImageReference) => IndexSelection = () => 'system',
): Promise<CopyResult> {
  const { args } = context;
  const signal = commandSignal(context);
  const chosen = readSelection(context);
  const shared = await readOptions(context, signal);
  const policy = await openPolicy(context);
  const source = await parseName(context, args[0] as string, 'Invalid source name');
  const destination = await parseName(context, args[1] as string, 'Invalid destination name');
  const options = { ...shared, select: chosen ?? selection(destination) };
  warnOfIneffective(context, destination);
  const { copyImage } = await import('../../../transport/copy.ts');
  const { withRetries } = await import('../../../transport/retry.ts');
  const signers = await imageSigners(context, signingChoice(context.flags));
  const progress = await openProgress(context);
  let result: CopyResult;
  try {
    const onProgress = debugged(context, progress.onProgress);
    result = await withRetries(
      'copy',
      () => copyImage(policy, source, destination, { ...options, signers, onProgress }),
      { ...retryOptions(context, signal), onProgress },
    );
  } finally {
    progress.close();
  }
  await writeDigest(context, result);
  return result;
}

async function writeDigest({ flags, io }: CommandContext, { digest }: CopyResult): Promise<void> {
  const file = flags.string('digestfile');
  if (file === '') return;
  await writeFile(resolve(io.workingDirectory, file), digest).catch(
    prefixed(`Failed to write digest to file ${JSON.stringify(file)}`),
  );
}

async function openProgress(context: CommandContext): Promise<{ onProgress: OnProgress; close(): void }> {
  const { io, flags } = context;
  const mode = flags.bool('quiet') ? 'none' : readProgress(context);
  return createProgress({ mode, stream: progressStream(context, mode), warnings: io.stderr });
}

async function readOptions(context: CommandContext, signal: AbortSignal): Promise<CopyOptions> {
  const { flags } = context;
  const parallel = flags.number('image-parallel-copies');
  const identity = flags.string('sign-identity');
  const compression = readCompression(context);
  const { openBlobCache } = await import('../../../transport/blob-cache.ts');
  return {
    ...sharedCopyOptions(context),
    source: transportContext(aliasedFlags(context, 'screds', 'src-creds'), {
      prefix: 'src-',
      signal,
      journal: true,
    }),
    destination: destinationContext(context, signal),
    sparse: readSparse(flags.string('sparse')),
    ...(identity ? { signIdentity: readIdentity(identity) } : {}),
    ...(compression ? { compression } : {}),
    ...(readLevel(flags) === undefined ? {} : { compressionLevel: readLevel(flags) }),
    ...(flags.bool('dest-force-compress-format') ? { forceCompression: true } : {}),
    ...(parallel > 0 ? { parallelBlobs: parallel } : {}),
    ...(await readEncryption(context)),
    ...readReferrers(context),
    blobCache: await openBlobCache(cachePath(context.io, 'blobs.json')),
    signal,
  };
}

function destinationContext(context: CommandContext, signal: AbortSignal): TransportContext {
  const { flags } = context;
  const base = transportContext(aliasedFlags(context, 'dcreds', 'dest-creds'), {
    prefix: 'dest-',
    signal,
    journal: true,
  });
  if (flags.bool('dest-compress') && flags.bool('dest-decompress'))
    throw new UsageError('usage', 'Cannot compress and decompress at the same time');
  const layers = flags.bool('dest-compress')
    ? 'compress'
    : flags.bool('dest-decompress')
      ? 'decompress'
      : undefined;
  const tags = flags.list('additional-tag').map(readTag);
  return {
    ...base,
    ...(layers ? { directoryLayerCompression: layers } : {}),
    ...(flags.bool('dest-oci-accept-uncompressed-layers') ? { ociAcceptUncompressedLayers: true } : {}),
    ...(tags.length ? { additionalTags: tags } : {}),
    ...(flags.bool('dest-precompute-digests') && base.docker
      ? { docker: { ...base.docker, precomputeDigests: true } }
      : {}),
  };
}

function readTag(text: string): NamedReference {
  let named: NamedReference;
  try {
    named = parseReference(text);
  } catch (error) {
    return prefixed(`error parsing additional-tag '${text}'`)(error);
  }
  if (named.tag === undefined)
    throw new UsageError('usage', `additional-tag '${text}' must be a tagged reference`);
  return named;
}

/** Undefined where no flag says. */
function readSelection({ flags }: CommandContext): IndexSelection | undefined {
  const all = flags.bool('all');
  if (!flags.changed('multi-arch')) return all ? 'all' : undefined;
  if (all) throw new UsageError('usage', 'Cannot use --all and --multi-arch flags together');
  const text = flags.string('multi-arch');
  if (text === 'system' || text === 'all' || text === 'index-only') return text;
  const platforms = text.split(',').map((item) => item.trim().split('/'));
  if (text === '' || platforms.some((parts) => parts.length < 2 || parts.length > 3 || parts.includes('')))
    throw new UsageError(
      'usage',
      `unknown multi-arch option ${JSON.stringify(text)}. Choose one of the supported options: 'system', 'all', 'index-only', or a list of platforms such as 'linux/amd64,linux/arm64'`,
    );
  return {
    platforms: platforms.map(([os = '', architecture = '', variant]) => ({
      os,
      architecture,
      ...(variant ? { variant } : {}),
    })),
  };
}

function readSparse(text: string): 'keep' | 'strip' {
  if (text === 'keep' || text === 'strip') return text;
  throw new UsageError('usage', `unknown value ${JSON.stringify(text)} of --sparse: choose keep or strip`);
}

function readCompression(context: CommandContext): CompressionChoice | undefined {
  const { flags } = context;
  const format = flags.string('dest-compress-format');
  const level = readLevel(flags);
  if (format === '') {
    if (flags.bool('dest-force-compress-format'))
      throw new UsageError(
        'usage',
        'cannot use ForceCompressionFormat with undefined default compression format',
      );
    return undefined;
  }
  if (format === 'gzip' || format === 'zstd' || format === 'zstd:chunked')
    return { format, ...(level === undefined ? {} : { level }) };
  throw new UsageError('usage', `cannot find compressor for ${JSON.stringify(format)}`, {
    hint: 'gzip, zstd and zstd:chunked are known',
  });
}

function readLevel(flags: CommandContext['flags']): number | undefined {
  return flags.changed('dest-compress-level') ? flags.number('dest-compress-level') : undefined;
}

/** They decompress every layer. */
const UNCOMPRESSED: readonly TransportName[] = ['docker-archive', 'docker-daemon', 'containers-storage'];

/** An option that does nothing is not passed over in silence. */
function warnOfIneffective(context: CommandContext, { transport }: ImageReference): void {
  const { flags } = context;
  for (const name of ['dest-compress', 'dest-decompress'])
    if (flags.bool(name) && transport !== 'dir')
      warn(context, `--${name} can only be used if the destination transport is 'dir'`);
  const compresses =
    !UNCOMPRESSED.includes(transport) && (transport !== 'dir' || flags.bool('dest-compress'));
  if (flags.string('dest-compress-format') !== '' && !compresses)
    warn(
      context,
      transport === 'dir'
        ? '--dest-compress-format has no effect for dir: without --dest-compress'
        : `--dest-compress-format has no effect: ${transport}: keeps layers uncompressed`,
    );
}
