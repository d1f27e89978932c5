import { type Digest, tryParseDigest } from '../../../../image/digest.ts';
import { type Platform, parsePlatform, platformOf } from '../../../../image/platform.ts';
import { type NamedReference, parseReference } from '../../../../image/reference.ts';
import type { OnProgress } from '../../../../transport/contract.ts';
import type { CommandContext, FlagSpec } from '../../../cli/contract.ts';
import { UsageError } from '../../../cli/error.ts';
import { createProgress } from '../../../cli/progress.ts';

export const QUIET: FlagSpec = { name: 'quiet', short: 'q', kind: 'bool', usage: 'print no progress' };
export const FORMAT: FlagSpec = {
  name: 'format',
  kind: 'string',
  default: 'text',
  usage: 'print as text, json, or through the Go template `FORMAT`',
};
export const PLATFORM: FlagSpec = {
  name: 'platform',
  kind: 'string',
  usage: 'of an index, take the manifest for `OS/ARCH[/VARIANT]`',
};
export const FORCE: FlagSpec = {
  name: 'force',
  short: 'f',
  kind: 'bool',
  usage: 'delete without being asked, and be content where there is nothing',
};
export const DESCRIPTOR: FlagSpec = {
  name: 'descriptor',
  kind: 'bool',
  usage: 'print the descriptor as JSON instead of the content',
};

/** Undefined where `--platform` was not given. */
export function platformFlag({ flags }: CommandContext): Platform | undefined {
  if (!flags.changed('platform')) return undefined;
  return parsePlatform(flags.string('platform'), platformOf(process.platform, process.arch));
}

/** Prints a result as `--format` says. @param text for people */
export async function printResult(context: CommandContext, value: object, text: string): Promise<void> {
  const format = context.flags.string('format');
  if (format === 'text' || format === 'tree' || format === '') return context.print(text);
  if (format === 'json') return context.print(JSON.stringify(value, null, 2));
  const { renderTemplate, unescapeFormat } = await import('../../../cli/template/evaluate.ts');
  context.print(renderTemplate(unescapeFormat(format), value));
}

/** Progress on stderr while something moves. */
export async function withProgress<T>(
  context: CommandContext,
  action: (options: { readonly onProgress: OnProgress; readonly signal: AbortSignal }) => Promise<T>,
): Promise<T> {
  const { io, signal, flags } = context;
  const mode = flags.bool('quiet') ? 'none' : 'auto';
  const progress = await createProgress({ mode, stream: io.stderr, warnings: io.stderr });
  try {
    return await action({ onProgress: progress.onProgress, signal });
  } finally {
    progress.close();
  }
}

/** A repository of a registry, perhaps with tags: `host/name:a,b`. @throws UsageError; ImageError `bad-reference` */
export function readRepository(text: string): { repository: NamedReference; tags?: readonly string[] } {
  const [name = '', ...more] = withoutTransport(text).split(',');
  const { domain, path, tag, digest } = parseReference(name);
  if (digest !== undefined || (tag === undefined && more.length > 0))
    throw new UsageError('usage', `${text} is not a repository with tags: write HOST/NAME[:TAG,TAG...]`);
  return { repository: { domain, path }, ...(tag === undefined ? {} : { tags: [tag, ...more] }) };
}

/** A blob of a registry. @throws UsageError; ImageError `bad-reference` */
export function readBlobName(text: string): { repository: NamedReference; digest: Digest } {
  const { domain, path, digest } = parseReference(withoutTransport(text));
  const parsed = digest === undefined ? undefined : tryParseDigest(digest);
  if (!parsed) throw new UsageError('usage', `${text} names no blob: write HOST/NAME@DIGEST`);
  return { repository: { domain, path }, digest: parsed };
}

export function withoutTransport(text: string): string {
  return text.replace(/^docker:\/\//, '');
}

/** What is gone is gone: nothing is deleted without `--force`. @throws UsageError */
export function requireForce({ flags }: CommandContext, what: string): void {
  if (!flags.bool('force'))
    throw new UsageError('usage', `${what} would be deleted for everybody`, {
      hint: 'repeat with --force if that is meant',
    });
}
