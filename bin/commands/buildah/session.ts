import type { BuildSurroundings } from '../../../build/container/contract.ts';
import { homeOf } from '../../../config/host.ts';
import { readPolicy } from '../../../config/policy.ts';
import { type Platform, parsePlatform, platformOf } from '../../../image/platform.ts';
import { createPolicy } from '../../../sign/policy/policy.ts';
import type { Store } from '../../../store/storage/contract.ts';
import { openStore } from '../../../store/storage/open.ts';
import type { CommandContext, FlagSpec } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';
import { localStorage } from '../../cli/local-storage.ts';
import { logrusLine } from '../../cli/log-line.ts';
import { createProgress, type TextStream } from '../../cli/progress.ts';
import { askedAccess } from './registry-flags.ts';

/** What a command of buildah works with; disposing gives the storage back. */
export interface Session extends AsyncDisposable {
  readonly store: Store;
  readonly surroundings: BuildSurroundings;
  /** True where `--os`, `--arch`, `--variant` or `--platform` chose the platform. */
  readonly customPlatform: boolean;
  readonly hostPlatform: Platform;
  warn(text: string): void;
}

/** How {@link openSession} differs between commands. */
export interface SessionOptions {
  /** The command's own flags: registry, platform and policy flags among them are read. */
  readonly flags?: readonly FlagSpec[];
  /** No progress on stderr. */
  readonly quiet?: boolean;
  readonly platform?: Platform;
  /** Where progress and warnings go instead of stderr. */
  readonly progressTo?: NodeJS.WritableStream;
}

/** Opens storage and reads the configuration that flags and environment choose. */
export async function openSession(context: CommandContext, options: SessionOptions = {}): Promise<Session> {
  const { io, signal, globals } = context;
  checkLogLevel(globals.string('log-level'));
  const { environment } = io;
  const storage = await localStorage(context);
  debugLine(context, `using storage at ${storage.graphRoot} with state in ${storage.runRoot}`);
  const store = await openStore(storage);
  const declared = new Set((options.flags ?? []).map((flag) => flag.name));
  const warn = (text: string) => {
    const stream: TextStream = options.progressTo ?? io.stderr;
    stream.write(logrusLine('warning', text, { terminal: stream.isTTY ?? false, now: new Date() }));
  };
  const host = platformOf(process.platform, process.arch);
  const chosen = options.platform ?? platformFlag(context, declared, host);
  const progress = await createProgress({
    mode: options.quiet ? 'none' : 'plain',
    get stream() {
      return options.progressTo ?? io.stderr;
    },
    get warnings() {
      return io.stderr;
    },
  });
  const surroundings: BuildSurroundings = {
    store,
    docker: await askedAccess(context, declared),
    policy: lazyPolicy(context, declared, warn),
    temporaryDirectory: environment.TMPDIR || '/var/tmp',
    workingDirectory: io.workingDirectory,
    platform: chosen ?? host,
    environment,
    now: () => new Date(),
    onProgress: progress.onProgress,
    onWarning: warn,
    signal,
  };
  return {
    store,
    surroundings,
    customPlatform: chosen !== undefined,
    hostPlatform: host,
    warn,
    async [Symbol.asyncDispose]() {
      progress.close();
      await store[Symbol.asyncDispose]();
    },
  };
}

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'warning', 'error', 'fatal', 'panic'];

/** `--log-level=debug`, or the old `--debug`. */
export function isDebug({ globals }: CommandContext): boolean {
  return ['debug', 'trace'].includes(globals.string('log-level').toLowerCase()) || globals.bool('debug');
}

/** A line of the debug log on stderr, where one is asked for. */
export function debugLine(context: CommandContext, text: string): void {
  if (!isDebug(context)) return;
  const { stderr } = context.io;
  stderr.write(logrusLine('debug', text, { terminal: stderr.isTTY ?? false, now: new Date() }));
}

function checkLogLevel(level: string): void {
  if (!LOG_LEVELS.includes(level.toLowerCase()))
    throw new UsageError('usage', `unable to parse log level: not a valid logrus Level: "${level}"`);
}

/** Read when the first image is admitted: most commands read none. */
function lazyPolicy(
  { io, flags }: CommandContext,
  declared: ReadonlySet<string>,
  onWarning: (text: string) => void,
): BuildSurroundings['policy'] {
  const path = declared.has('signature-policy') ? flags.optionalString('signature-policy') : undefined;
  const load = async () => {
    const values = await readPolicy({ path: path || undefined, home: homeOf(io), onWarning });
    return createPolicy(values, { now: () => Date.now() });
  };
  let loading: ReturnType<typeof load> | undefined;
  const loaded = () => {
    loading ??= load();
    return loading;
  };
  return {
    admit: async (image) => (await loaded()).admit(image),
    prepare: async () => {
      if (path) await loaded();
    },
  };
}

/** The platform that the flags ask for; undefined where they ask for none. */
export function platformFlag(
  { flags, io }: CommandContext,
  declared: ReadonlySet<string>,
  host: Platform,
): Platform | undefined {
  const text = (name: string) => (declared.has(name) && flags.changed(name) ? flags.string(name) : undefined);
  const os = text('os');
  const architecture = text('arch');
  const variant = text('variant');
  const list = declared.has('platform') && flags.changed('platform') ? flags.list('platform') : [];
  if (list.length > 1)
    io.stderr.write(
      logrusLine('warning', `ignoring platforms other than ${list[0]}: ${list.slice(1).join(', ')}`, {
        terminal: io.stderr.isTTY ?? false,
        now: new Date(),
      }),
    );
  if (list[0] !== undefined) {
    if (os !== undefined || architecture !== undefined || variant !== undefined)
      throw new UsageError(
        'usage',
        'building system context: invalid --platform may not be used with --os, --arch, or --variant',
      );
    return list[0] === 'local' ? host : readPlatformFlag(list[0], host);
  }
  if (os === undefined && architecture === undefined && variant === undefined) return undefined;
  const parts = [os || host.os, architecture || host.architecture, variant].filter(Boolean);
  return parsePlatform(parts.join('/'), host);
}

/** One value of `--platform`. @throws UsageError in Buildah's words */
export function readPlatformFlag(text: string, host: Platform, parse = parsePlatform): Platform {
  try {
    return parse(text, host);
  } catch (cause) {
    throw new UsageError(
      'usage',
      `building system context: invalid platform syntax for --platform=${JSON.stringify(text)}: ${(cause as Error).message}`,
      { cause },
    );
  }
}
