import { join, resolve } from 'node:path';
import { cacheHomeOf } from '../../config/host.ts';
import { type Platform, platformOf } from '../../image/platform.ts';
import type { Store } from '../../store/storage/contract.ts';
import type { StorageLocation, TransportContext } from '../../transport/contract.ts';
import type { CommandContext, CommandIo, FlagSpec } from './contract.ts';
import { textFlag } from './flags.ts';
import { logLine } from './log-line.ts';
import { type AccessPrefix, registryAccess } from './registry-access.ts';
import { packageVersion } from './version.ts';

/** What a command adds to the surroundings that every reference needs. */
export interface ContextOptions {
  /** Whose flags say how to reach registries; default: the ones without prefix. */
  readonly prefix?: AccessPrefix;
  /** Default: `--override-os` and its like, else this machine's. */
  readonly platform?: Platform;
  /** Default: `--tmpdir`, else TMPDIR, else /var/tmp. */
  readonly temporaryDirectory?: string;
  /** Default: the user's interrupt. */
  readonly signal?: AbortSignal;
  /** Interrupted transfers of big blobs are noted in the cache directory and go on where they stopped. */
  readonly journal?: boolean;
}

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

/**
 * The surroundings of opening references, from a command's flags and environment. Flags that neither the command nor
 * its tool declares count as not given.
 * @throws UsageError where flags exclude each other
 */
export function transportContext(context: CommandContext, options: ContextOptions = {}): TransportContext {
  const { io } = context;
  const prefix = options.prefix ?? '';
  const docker = dockerAccess(context, prefix);
  const { tlsVerify, certificateDirectory } = docker;
  const host = textFlag(context.flags, `${prefix}daemon-host`);
  const sharedBlobs = textFlag(context.flags, `${prefix}shared-blob-dir`);
  return {
    platform: options.platform ?? platformFlags(context),
    temporaryDirectory:
      options.temporaryDirectory ?? temporaryDirectory(io, textFlag(context.flags, 'tmpdir')),
    signal: options.signal ?? context.signal,
    onWarning: (text) => logLine(context, 'warning', text),
    docker: options.journal ? { ...docker, journalDirectory: cachePath(io, 'transfers') } : docker,
    daemon: {
      ...(host ? { host } : {}),
      ...(certificateDirectory ? { certificateDirectory } : {}),
      ...(tlsVerify === undefined ? {} : { tlsVerify }),
    },
    openStore: (location) => openLocalStore(context, location),
    ...(sharedBlobs ? { ociSharedBlobDirectory: resolve(io.workingDirectory, sharedBlobs) } : {}),
  };
}

/** A file or directory of ours in the user's cache. */
export function cachePath({ environment }: CommandIo, name: string): string {
  return join(cacheHomeOf({ environment }), 'slipway', name);
}

/** Big files go to TMPDIR or, as the originals do, to /var/tmp, which unlike /tmp is on disk. */
export function temporaryDirectory({ environment, workingDirectory }: CommandIo, chosen?: string): string {
  const fallback = process.platform === 'win32' ? (environment.TEMP ?? '.') : '/var/tmp';
  return resolve(workingDirectory, chosen || environment.TMPDIR || fallback);
}

async function openLocalStore(context: CommandContext, location?: StorageLocation): Promise<Store> {
  const [{ localStorage }, { openStore }] = await Promise.all([
    import('./local-storage.ts'),
    import('../../store/storage/open.ts'),
  ]);
  return await openStore(await localStorage(context, location));
}

function dockerAccess(
  context: CommandContext,
  prefix: AccessPrefix,
): NonNullable<TransportContext['docker']> {
  const { flags, globals, io } = context;
  const docker = registryAccess(flags, prefix, io, userAgent(context));
  const both =
    prefix === '' || !globals.declares('tls-verify') ? undefined : globals.optionalBool('tls-verify');
  const tlsVerify = docker.tlsVerify ?? both;
  const path = (name: string) => {
    const text = textFlag(context.flags, name);
    return text === undefined ? undefined : resolve(io.workingDirectory, text);
  };
  const registriesFile = path('registries-conf');
  const registriesDropInDirectory = path('registries-conf-dir');
  const shortNameAliasFile = path('short-name-alias-conf');
  const registriesDirectory = path('registries.d');
  return {
    ...docker,
    ...(tlsVerify === undefined ? {} : { tlsVerify }),
    ...(registriesFile ? { registriesFile } : {}),
    ...(registriesDropInDirectory ? { registriesDropInDirectory } : {}),
    ...(shortNameAliasFile ? { shortNameAliasFile } : {}),
    ...(registriesDirectory ? { registriesDirectory } : {}),
  };
}

function userAgent(context: CommandContext): string {
  const [tool] = context.commandPath;
  const own = `slipway/${packageVersion()}${tool === 'slipway' || !tool ? '' : ` ${tool}`}`;
  const prefix = textFlag(context.flags, 'user-agent-prefix');
  return prefix ? `${prefix} ${own}` : own;
}

function platformFlags(context: CommandContext): Platform {
  const host = platformOf(process.platform, process.arch);
  const architecture = textFlag(context.flags, 'override-arch') ?? host.architecture;
  const variant =
    textFlag(context.flags, 'override-variant') ??
    (architecture === host.architecture ? host.variant : undefined);
  const os = textFlag(context.flags, 'override-os') ?? host.os;
  return { os, architecture, ...(variant ? { variant } : {}) };
}
