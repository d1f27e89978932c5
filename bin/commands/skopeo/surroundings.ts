import { join, resolve } from 'node:path';
import { cacheHomeOf } from '../../../config/host.ts';
import { platformOf } from '../../../image/platform.ts';
import type {
  AdmissionPolicy,
  ImageReference,
  OnProgress,
  TransportContext,
} from '../../../transport/contract.ts';
import type { CommandContext, FlagSpec } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';
import { logrusLine } from '../../cli/log-line.ts';
import { type AccessPrefix, registryAccess } from '../../cli/registry-access.ts';
import { packageVersion } from '../../cli/version.ts';

/** Flags of one image that is not in a registry: where shared blobs and the daemon are. */
export function imageFlags(prefix: AccessPrefix = ''): FlagSpec[] {
  return [
    {
      name: `${prefix}shared-blob-dir`,
      kind: 'string',
      usage: 'keep the blobs of oci layouts in `DIRECTORY`, shared between them',
    },
    {
      name: `${prefix}daemon-host`,
      kind: 'string',
      usage: 'reach the Docker daemon at `HOST` (docker-daemon: only)',
    },
  ];
}

export const RETRY_FLAGS: readonly FlagSpec[] = [
  { name: 'retry-times', kind: 'int', default: 0, usage: 'try again this often' },
  {
    name: 'retry-delay',
    kind: 'duration',
    usage: 'wait this long between tries; without it the wait doubles each time',
  },
];

/** Writes a warning as logrus does. */
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

/** Writes a logrus line with fields behind its message. */
export function logLine(
  { io }: CommandContext,
  level: 'error' | 'warning' | 'info' | 'debug',
  text: string,
  fields: Readonly<Record<string, string>> = {},
): void {
  const line = logrusLine(level, text, { terminal: io.stderr.isTTY === true, now: new Date() });
  const extra = Object.entries(fields).map(([key, value]) => ` ${key}=${JSON.stringify(value)}`);
  io.stderr.write(`${line.trimEnd()}${extra.join('')}\n`);
}

/** Where facts about blobs are kept between runs. */
export function blobCachePath({ io }: CommandContext): string {
  return join(cacheHomeOf({ environment: io.environment }), 'slipway', 'blobs.json');
}

/** Interrupted transfers of big blobs are noted in the cache directory and go on where they stopped. */
export function withJournal({ io }: CommandContext, context: TransportContext): TransportContext {
  const journalDirectory = join(cacheHomeOf({ environment: io.environment }), 'slipway', 'transfers');
  return context.docker ? { ...context, docker: { ...context.docker, journalDirectory } } : context;
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

/**
 * What opening a reference needs, from the flags with `prefix` and the global ones.
 * @param declares `registry` for commands without {@link imageFlags}
 * @throws UsageError where flags exclude each other
 */
export function transportContext(
  context: CommandContext,
  prefix: AccessPrefix,
  signal: AbortSignal,
  declares: 'registry' | 'image' = 'image',
): TransportContext {
  const { flags, globals, io } = context;
  const optional = (name: string) =>
    declares === 'image' && flags.changed(name) ? flags.string(name) : undefined;
  const docker = registryAccess(flags, prefix, io, userAgent(context));
  const legacyVerify = prefix === '' ? undefined : flags.optionalBool('tls-verify');
  const globalVerify = prefix === '' ? undefined : globals.optionalBool('tls-verify');
  const tlsVerify = docker.tlsVerify ?? legacyVerify ?? globalVerify;
  const registriesFile = globals.string('registries-conf');
  const registriesDirectory = globals.string('registries.d');
  const sharedBlobs = optional(`${prefix}shared-blob-dir`);
  const daemonHost = optional(`${prefix}daemon-host`);
  return {
    platform: platform(context),
    temporaryDirectory: resolve(
      io.workingDirectory,
      globals.string('tmpdir') || io.environment.TMPDIR || '/var/tmp',
    ),
    signal,
    onWarning: (text) => warn(context, text),
    docker: {
      ...docker,
      ...(tlsVerify === undefined ? {} : { tlsVerify }),
      ...(registriesFile ? { registriesFile } : {}),
      ...(registriesDirectory ? { registriesDirectory } : {}),
    },
    daemon: {
      ...(daemonHost ? { host: daemonHost } : {}),
      ...(docker.certificateDirectory ? { certificateDirectory: docker.certificateDirectory } : {}),
      ...(tlsVerify === undefined ? {} : { tlsVerify }),
    },
    openStore: async (location) => {
      const { openDefaultStore } = await import('../../cli/transport-context.ts');
      return openDefaultStore(io.environment, location);
    },
    ...(sharedBlobs ? { ociSharedBlobDirectory: resolve(io.workingDirectory, sharedBlobs) } : {}),
  };
}

function userAgent({ globals }: CommandContext): string {
  const own = `slipway/${packageVersion()} skopeo`;
  const prefix = globals.string('user-agent-prefix');
  return prefix ? `${prefix} ${own}` : own;
}

function platform({ globals }: CommandContext): TransportContext['platform'] {
  const host = platformOf(process.platform, process.arch);
  const architecture = globals.string('override-arch') || host.architecture;
  const variant =
    globals.string('override-variant') || (architecture === host.architecture ? host.variant : undefined);
  const os = globals.string('override-os') || host.os;
  return { os, architecture, ...(variant ? { variant } : {}) };
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

/** `transport:rest` of the command line. @throws whatever is wrong with it, after `what` */
export async function parseName(
  context: CommandContext,
  text: string,
  what: string,
): Promise<ImageReference> {
  const { parseImageReference } = await import('../../../transport/references.ts');
  return parseImageReference(text, { workingDirectory: context.io.workingDirectory }).catch(
    prefixed(`${what} ${text}`),
  );
}

/** Puts words before an error's message and throws it on; its code, hint and exit code stay. */
export function prefixed(words: string): (error: unknown) => never {
  return (error) => {
    if (error instanceof Error && error.name !== 'AbortError') error.message = `${words}: ${error.message}`;
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
  return {
    ...context,
    flags: {
      changed: (asked) => flags.changed(asked === name ? old : asked),
      string: (asked) => flags.string(asked === name ? old : asked),
      bool: (asked) => flags.bool(asked),
      optionalBool: (asked) => flags.optionalBool(asked),
      optionalString: (asked) => flags.optionalString(asked === name ? old : asked),
      number: (asked) => flags.number(asked),
      list: (asked) => flags.list(asked),
    },
  };
}
