import { resolve } from 'node:path';
import { systemErrorText } from '../../../errors.ts';
import type { AdmissionPolicy, ImageReference, OnProgress } from '../../../transport/contract.ts';
import type { CommandContext, FlagSpec } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';
import { renamedFlags } from '../../cli/flags.ts';
import { logLine } from '../../cli/log-line.ts';

export const RETRY_FLAGS: readonly FlagSpec[] = [
  { name: 'retry-times', kind: 'int', default: 0, usage: 'try again this often' },
  {
    name: 'retry-delay',
    kind: 'duration',
    usage: 'wait this long between tries; without it the wait doubles each time',
  },
];

/** Writes a warning in the tool's own form. */
export function warn(context: CommandContext, text: string): void {
  logLine(context, 'warning', text);
}

/** With `--debug`, says what is done. */
export function debug(
  context: CommandContext,
  text: string,
  fields: Readonly<Record<string, string>> = {},
): void {
  if (context.globals.bool('debug')) logLine(context, 'debug', text, fields);
}

/** Progress that is told to `--debug` too. */
export function debugged(context: CommandContext, onProgress: OnProgress): OnProgress {
  if (!context.globals.bool('debug')) return onProgress;
  return (event) => {
    if (event.type !== 'advanced') debug(context, event.type, { event: JSON.stringify(event) });
    onProgress(event);
  };
}

/** The user's interrupt, and `--command-timeout`. */
export function commandSignal(context: CommandContext): AbortSignal {
  const limitMs = context.globals.number('command-timeout');
  if (limitMs <= 0) return context.signal;
  const timeout = new AbortController();
  const timer = setTimeout(
    () => timeout.abort(new UsageError('usage', 'context deadline exceeded')),
    limitMs,
  );
  timer.unref();
  return AbortSignal.any([context.signal, timeout.signal]);
}

/** The trust policy that the global flags choose. @throws ConfigError; TransportError `bad-option` */
export async function openPolicy(context: CommandContext): Promise<AdmissionPolicy> {
  const { globals, io } = context;
  const { imagePolicy } = await import('../../cli/image-policy.ts');
  const path = globals.string('policy');
  const flags = {
    ...(path ? { path: resolve(io.workingDirectory, path) } : {}),
    insecure: globals.bool('insecure-policy'),
    requireSigned: globals.bool('require-signed'),
  };
  const quiet = { ...context, note: (text: string) => warn(context, text.replace(/^warning: /, '')) };
  return imagePolicy(quiet, flags);
}

/** `transport:rest` of the command line. @throws whatever is wrong with it, after `what` and the name as `shown` */
export async function parseName(
  context: CommandContext,
  text: string,
  what: string,
  shown = text,
): Promise<ImageReference> {
  const { parseImageReference } = await import('../../../transport/references.ts');
  return parseImageReference(text, { workingDirectory: context.io.workingDirectory }).catch(
    prefixed(`${what} ${shown}`),
  );
}

/** Puts words before an error's message and throws it on; its code, hint and exit code stay. */
export function prefixed(words: string): (error: unknown) => never {
  return (error) => {
    if (error instanceof Error && error.name !== 'AbortError')
      error.message = `${words}: ${systemErrorText(error)}`;
    throw error;
  };
}

/** `--retry-times` and `--retry-delay`. */
export function retryOptions({ flags }: CommandContext, signal: AbortSignal) {
  return {
    times: flags.number('retry-times'),
    ...(flags.changed('retry-delay') ? { delayMs: flags.number('retry-delay') } : {}),
    signal,
  };
}

/** The old name of a flag, where the new one is not given. */
export function aliasedFlags(context: CommandContext, old: string, name: string): CommandContext {
  const { flags } = context;
  if (!flags.changed(old) || flags.changed(name)) return context;
  return { ...context, flags: renamedFlags(flags, (asked) => (asked === name ? old : asked)) };
}
