import { formatReference, parseReference } from '../../../image/reference.ts';
import type { CopyOptions } from '../../../transport/copy-options.ts';
import type { ManifestRequest } from '../../../transport/plan.ts';
import type { CommandContext, CommandIo, FlagSpec } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';
import { signingFlags } from '../../cli/image-signers.ts';
import type { ProgressMode } from '../../cli/progress.ts';
import { prefixed } from './surroundings.ts';

/** Flags that copying one image and synchronizing many share. */
export const SHARED_COPY_FLAGS: readonly FlagSpec[] = [
  { name: 'authfile', kind: 'string', usage: 'read credentials for both sides from `FILE`' },
  { name: 'remove-signatures', kind: 'bool', usage: 'leave the signatures of the source behind' },
  ...signingFlags(),
  { name: 'format', short: 'f', kind: 'string', usage: 'write manifests as `TYPE`: oci, v2s2 or v2s1' },
  {
    name: 'preserve-digests',
    kind: 'bool',
    usage: 'fail rather than change the digest of an image or index',
  },
  {
    name: 'tls-verify',
    kind: 'optionalBool',
    usage: 'as --src-tls-verify and --dest-tls-verify',
    hidden: true,
  },
  {
    name: 'referrers',
    kind: 'bool',
    usage: 'copy what refers to the image too: signatures, SBOMs, attestations',
  },
  {
    name: 'referrers-type',
    kind: 'slice',
    usage: 'of the referrers, copy only those of this artifact `TYPE`',
  },
  {
    name: 'progress',
    kind: 'string',
    default: 'auto',
    usage: 'show progress as `KIND`: auto, bars, plain, json, none',
  },
];

const FORMATS: Readonly<Record<string, ManifestRequest>> = { oci: 'oci', v2s2: 'docker', v2s1: 'schema1' };

/** @throws UsageError for an unknown format */
export function readFormat({ flags }: CommandContext): ManifestRequest | undefined {
  if (!flags.changed('format')) return undefined;
  const text = flags.string('format');
  const format = Object.hasOwn(FORMATS, text) ? FORMATS[text] : undefined;
  if (format) return format;
  throw new UsageError(
    'usage',
    `unknown format ${JSON.stringify(text)}. Choose one of the supported formats: 'oci', 'v2s1', or 'v2s2'`,
  );
}

/** What `copy` and `sync` read alike into copy options. */
export function sharedCopyOptions(context: CommandContext): Partial<CopyOptions> {
  const { flags } = context;
  const format = readFormat(context);
  return {
    ...(format ? { format } : {}),
    ...(flags.bool('remove-signatures') ? { removeSignatures: true } : {}),
    ...(flags.bool('preserve-digests') ? { preserveDigests: true } : {}),
  };
}

const MODES: readonly string[] = ['auto', 'bars', 'plain', 'json', 'none'];

export function readProgress({ flags }: CommandContext): ProgressMode {
  const mode = flags.string('progress');
  if (MODES.includes(mode)) return mode as ProgressMode;
  throw new UsageError(
    'usage',
    `unknown progress ${JSON.stringify(mode)}: choose one of ${MODES.join(', ')}`,
  );
}

/** Events are what `json` is asked for; else slipway leaves stdout to results, while Skopeo's lines go there. */
export function progressStream({ io, commandPath }: CommandContext, mode: ProgressMode): CommandIo['stdout'] {
  return mode !== 'json' && commandPath[0] === 'slipway' ? io.stderr : io.stdout;
}

/** A whole name with tag or digest for a signature. @throws ImageError, UsageError */
export function readIdentity(text: string) {
  let named: ReturnType<typeof parseReference>;
  try {
    named = parseReference(text);
  } catch (error) {
    return prefixed('Could not parse --sign-identity')(error);
  }
  if (formatReference(named) !== text)
    throw new UsageError('usage', 'Could not parse --sign-identity: repository name must be canonical', {
      hint: `write ${formatReference(named)}`,
    });
  if (named.tag === undefined && named.digest === undefined)
    throw new UsageError('usage', `Sign identity must be a fully specified reference ${text}`);
  return named;
}

/** `--referrers` and `--referrers-type`. @throws UsageError for the second without the first */
export function readReferrers({ flags }: CommandContext): Pick<CopyOptions, 'referrers'> {
  const types = flags.list('referrers-type');
  if (!flags.bool('referrers')) {
    if (types.length) throw new UsageError('usage', '--referrers-type can only be used with --referrers');
    return {};
  }
  return { referrers: types.length ? { artifactTypes: types } : {} };
}
