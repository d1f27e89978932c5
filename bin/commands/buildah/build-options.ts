import type { WriteStream } from 'node:fs';
import { resolve } from 'node:path';
import type { Writable } from 'node:stream';
import type { buildImage } from '../../../build/exec/build.ts';
import type { BuildOptions } from '../../../build/exec/options.ts';
import { parseOutput } from '../../../build/exec/output.ts';
import { runSettings } from '../../../build/exec/run-settings.ts';
import { loadSourcePolicy } from '../../../build/exec/source-policy.ts';
import { nameOf } from '../../../build/plan/variables.ts';
import { buildMemoryOf } from '../../../config/host.ts';
import { type Platform, parseExplicitPlatform, platformOf } from '../../../image/platform.ts';
import { type NamedReference, parseReference } from '../../../image/reference.ts';
import type { CommandContext } from '../../cli/contract.ts';
import { parseDuration } from '../../cli/duration.ts';
import { additionalContexts } from './additional-contexts.ts';
import { refuseLateFlags, usage } from './arguments.ts';
import { blobDirectoryOf } from './blob-cache-flag.ts';
import { buildArguments, environmentEntries } from './build-arguments.ts';
import { type OpenContext, openContext, readContainerfiles } from './build-context.ts';
import { BUILD_FLAGS } from './build-flags.ts';
import { openLog, openResourceLog } from './build-log.ts';
import { type PlatformsResult, runPlatforms } from './build-platforms.ts';
import { secretSources, sshSources } from './build-secrets.ts';
import { cacheDirectory } from './cache-directory.ts';
import { compressionChoice, compressionName } from './compression-flags.ts';
import { refuseConfidential } from './confidential-flag.ts';
import { containerOptions, isolationOf } from './container-flags.ts';
import { containersConfig } from './containers-conf.ts';
import { decryptionKeys } from './encryption-flags.ts';
import { formatOf, pullPolicyOf } from './from.ts';
import { BUILDAH_LEVEL, retryDelay } from './registry-flags.ts';
import { readSbomFlags } from './sbom-flags.ts';
import { debugLine, isDebug, openSession, readPlatformFlag, type Session } from './session.ts';
import { signersOf } from './signing.ts';

/** A build that was read from a command line. */
export interface BuildJob extends AsyncDisposable {
  run(): Promise<PlatformsResult>;
  printId(imageId: string): void;
}

/** What a command adds to Buildah's build. */
export interface BuildAdditions {
  /** In place of {@link buildImage}. */
  readonly build?: typeof buildImage;
  /** Where lines and output go; absent: stdout and stderr. */
  readonly streams?: { readonly stdout: Writable; readonly stderr: Writable };
  /** No lines about transfers: events tell them. */
  readonly hideTransfers?: boolean;
}

/** Reads the flags, opens storage and context. @throws UsageError, BuildError */
export async function openBuild(context: CommandContext, additions: BuildAdditions = {}): Promise<BuildJob> {
  const { flags, args, io } = context;
  refuseLateFlags(args);
  refuseConfidential(flags);
  checkCombinations(context);
  const platforms = platformsOf(context);
  const outputs = flags
    .list('output')
    .map((text) => parseOutput(text, (path) => resolve(io.workingDirectory, path)));
  const format = formatOf(context);
  const quiet = flags.bool('quiet') || outputs.some((output) => output.path === '-');
  const resources = new AsyncDisposableStack();
  try {
    const log = openLog(context, resources);
    const session = resources.use(
      await openSession(context, {
        flags: BUILD_FLAGS,
        quiet: quiet || additions.hideTransfers,
        platform: platforms[0],
        progressTo: log,
      }),
    );
    const source = resources.use(await openContext(context, session.surroundings));
    const common = await commonOptions(context, session, {
      source,
      format,
      log,
      quiet,
      streams: quiet ? undefined : additions.streams,
    });
    const files = await readContainerfiles(context, source);
    const usage = openResourceLog(context, common.stdout, resources);
    const base: Omit<BuildOptions, 'platform' | 'platformGiven'> = {
      ...common,
      files,
      outputs,
      resources: usage,
    };
    return {
      run: () => runPlatforms(context, session, base, platforms, additions.build),
      // A log takes the id too; with --logsplit it stands in the platform's own.
      printId: (imageId) => {
        if (!log) context.print(imageId);
        else if (!flags.bool('logsplit')) log.write(`${imageId}\n`);
      },
      [Symbol.asyncDispose]: () => resources.disposeAsync(),
    };
  } catch (error) {
    await resources.disposeAsync();
    throw error;
  }
}

function checkCombinations(context: CommandContext): void {
  const { flags } = context;
  if (flags.string('network') === 'none' || flags.string('net') === 'none')
    for (const name of ['dns', 'dns-option', 'dns-search'])
      if (flags.changed(name)) throw usage(`the --${name} option cannot be used with --network=none`);
  if (flags.changed('manifest') && flags.list('tag').slice(1).includes(flags.string('manifest')))
    throw usage("the same name must not be specified for both '--tag' and '--manifest'");
  if (flags.changed('logsplit') && !flags.changed('logfile'))
    throw usage('cannot use --logsplit without --logfile');
  if (
    (flags.changed('rm') || flags.changed('force-rm')) &&
    !flags.changed('layers') &&
    !flags.changed('no-cache')
  )
    throw usage("'rm' and 'force-rm' can only be set with either 'layers' or 'no-cache'");
  if (flags.changed('label') && flags.list('label').every((label) => nameOf(label) === ''))
    throw usage('building at STEP "LABEL ": LABEL requires at least one argument');
  if (flags.bool('stage-labels') && !flags.bool('save-stages'))
    throw usage('"--stage-labels" requires "--save-stages"');
  if (epochOf(givenEpoch(context)) !== undefined && flags.changed('timestamp'))
    throw usage('timestamp and source-date-epoch would be ambiguous if allowed together');
  const network = flags.changed('network') ? flags.string('network') : flags.string('net');
  if (network !== '' && network !== 'host' && isolationOf(context) === 'chroot')
    throw usage('cannot set --network other than host with --isolation chroot');
  if (flags.bool('no-hosts') && flags.list('add-host').length > 0)
    throw usage('--no-hosts and --add-host conflict, can not be used together');
}

/** `--source-date-epoch`, whose default is the variable's value. */
function givenEpoch({ flags, io }: CommandContext): string {
  return flags.changed('source-date-epoch')
    ? flags.string('source-date-epoch')
    : (io.environment.SOURCE_DATE_EPOCH ?? '');
}

function epochOf(text: string): number | undefined {
  if (text === '') return undefined;
  if (!/^-?\d+$/.test(text))
    throw usage(
      `error parsing source-date-epoch offset "${text}": strconv.ParseInt: parsing "${text}": invalid syntax`,
    );
  return Number(text);
}

/** `--platform` may name several; `--os`, `--arch`, `--variant` one; none: this machine's. */
export function platformsOf({ flags }: CommandContext): Platform[] {
  const host = platformOf(process.platform, process.arch);
  const single = ['os', 'arch', 'variant'].filter((name) => flags.changed(name));
  if (flags.changed('platform')) {
    if (single.length > 0)
      throw usage(
        'building system context: invalid --platform may not be used with --os, --arch, or --variant',
      );
    if (flags.list('platform').length === 0)
      throw usage('building system context: unable to parse --platform value []');
    return flags.list('platform').map((text) => namedPlatform(text, host));
  }
  if (single.length === 0) return [];
  const text = (name: string) => (flags.changed(name) ? flags.string(name) : '');
  const architecture = text('arch') || host.architecture;
  return [
    parseExplicitPlatform(
      [text('os') || host.os, architecture, text('variant')].filter(Boolean).join('/'),
      host,
    ),
  ];
}

function namedPlatform(text: string, host: Platform): Platform {
  const trimmed = text.replace(/^\/+|\/+$/g, '');
  return trimmed === 'local' || trimmed === ''
    ? host
    : readPlatformFlag(trimmed, host, parseExplicitPlatform);
}

async function commonOptions(
  context: CommandContext,
  session: Session,
  given: {
    readonly source: OpenContext;
    readonly format: BuildOptions['format'];
    readonly log: WriteStream | undefined;
    readonly quiet: boolean;
    readonly streams: BuildAdditions['streams'];
  },
): Promise<Omit<BuildOptions, 'platform' | 'platformGiven' | 'files' | 'outputs'>> {
  const { flags, io } = context;
  const { environment } = io;
  const container = await containerOptions(context, session);
  const { containers, engine, network } = await containersConfig(context);
  const [output = '', ...additionalTags] = flags.list('tag');
  const contexts = additionalContexts(context);
  const cacheTtl = cacheTtlOf(context);
  const args = buildArguments(context);
  const epochText = flags.changed('source-date-epoch')
    ? flags.string('source-date-epoch')
    : givenEpoch(context) || (args.get('SOURCE_DATE_EPOCH') ?? '');
  const sourceDateEpochSeconds = flags.changed('timestamp') ? undefined : epochOf(epochText);
  if (sourceDateEpochSeconds !== undefined && !args.has('SOURCE_DATE_EPOCH'))
    args.set('SOURCE_DATE_EPOCH', String(sourceDateEpochSeconds));
  const optionalFalse = (name: string) => (flags.changed(name) ? flags.bool(name) : undefined);
  return {
    contextDirectory: given.source.directory,
    contextName: given.source.name,
    ...(flags.string('ignorefile') !== ''
      ? { ignoreFile: resolve(io.workingDirectory, flags.string('ignorefile')) }
      : {}),
    arguments: args,
    target: flags.string('target'),
    contexts,
    fromOverride: flags.string('from') || undefined,
    buildPlatform: platformOf(process.platform, process.arch),
    osVersion: flags.string('os-version') || undefined,
    osFeatures: flags.list('os-feature'),
    layers: flags.changed('layers')
      ? flags.bool('layers')
      : /^(true|1)$/i.test(environment.BUILDAH_LAYERS ?? ''),
    useCache: !flags.bool('no-cache') && cacheTtl !== 0,
    cacheTtlMs: cacheTtl,
    cacheFrom: flags.list('cache-from').map((text) => repository('cache-from', text)),
    cacheTo: flags.list('cache-to').map((text) => repository('cache-to', text)),
    format: given.format,
    output,
    additionalTags,
    compressLayers: !flags.bool('disable-compression'),
    copy: {
      ...(await compressionChoice(context)),
      layers: flags.bool('disable-compression') && !(await compressionName(context)) ? 'plain' : 'compress',
    },
    blobDirectory: blobDirectoryOf(context),
    squash: flags.bool('squash'),
    ...(flags.changed('timestamp') ? { timestampSeconds: flags.number('timestamp') } : {}),
    sourceDateEpochSeconds,
    rewriteTimestamp: flags.bool('rewrite-timestamp'),
    omitHistory: flags.bool('omit-history'),
    labels: flags.list('label'),
    layerLabels: flags.list('layer-label'),
    annotations: flags.list('annotation'),
    environment: environmentEntries(flags.list('env'), environment),
    unsetEnvironment: flags.list('unsetenv'),
    unsetLabels: flags.list('unsetlabel'),
    unsetAnnotations: flags.list('unsetannotation'),
    inheritLabels: optionalFalse('inherit-labels'),
    inheritAnnotations: optionalFalse('inherit-annotations'),
    createdAnnotation: optionalFalse('created-annotation'),
    identityLabel: optionalFalse('identity-label'),
    builderVersion: BUILDAH_LEVEL,
    stageLabels: flags.bool('stage-labels'),
    saveStages: flags.bool('save-stages'),
    skipUnusedStages: flags.bool('skip-unused-stages'),
    pullPolicy: pullPolicyOf(context),
    retries: flags.number('retry'),
    retryDelayMs: retryDelay(context),
    decryptionKeys: await decryptionKeys(context),
    ...(flags.changed('jobs') ? { jobs: flags.number('jobs') } : {}),
    removeIntermediate: flags.bool('rm'),
    keepFailed: flags.bool('layers') && flags.changed('force-rm') && !flags.bool('force-rm'),
    compatVolumes: flags.bool('compat-volumes'),
    secrets: secretSources(flags.list('secret'), environment, io.workingDirectory),
    ssh: sshSources(flags.list('ssh'), environment),
    entitlements: flags.list('allow'),
    ...(flags.string('source-policy-file') !== ''
      ? { sourceRules: loadSourcePolicy(resolve(io.workingDirectory, flags.string('source-policy-file'))) }
      : {}),
    run: runSettings({
      container,
      hostEnvironment: environment,
      noHosts: flags.bool('no-hosts'),
      noHostname: flags.bool('no-hostname'),
      runtime: flags.string('runtime') || environment.BUILDAH_RUNTIME || undefined,
      runtimeFlags: flags.list('runtime-flag'),
      configured: { containers, engine, network },
      mounts: flags.list('mount'),
    }),
    sbom: readSbomFlags(context, [
      given.source.directory,
      ...[...contexts.values()].flatMap((entry) => (entry.kind === 'directory' ? [entry.path] : [])),
    ]),
    quiet: given.quiet,
    hideImageIds: flags.string('iidfile') !== '',
    ...(flags.bool('stdin') ? { stdin: io.stdin as BuildOptions['stdin'] } : {}),
    stdout: given.log ?? given.streams?.stdout ?? (() => io.stdout as Writable),
    stderr: given.log ?? given.streams?.stderr ?? (() => io.stderr as Writable),
    inheritOutput: () =>
      !given.log && !given.streams && io.stdout === process.stdout && io.stderr === process.stderr,
    ...(isDebug(context) ? { debug: (text: string) => debugLine(context, text) } : {}),
    signers: await signersOf(context),
    cacheDirectory: cacheDirectory(context),
    memoryDirectory: buildMemoryOf(io),
  };
}

function cacheTtlOf({ flags }: CommandContext): number | undefined {
  if (!flags.changed('cache-ttl')) return undefined;
  const text = flags.string('cache-ttl');
  let milliseconds: number;
  try {
    milliseconds = parseDuration(text);
  } catch (cause) {
    throw usage(`unable to parse value provided "${text}" as --cache-ttl: ${(cause as Error).message}`);
  }
  if (milliseconds === 0 && flags.changed('no-cache') && !flags.bool('no-cache'))
    throw usage('cannot use --cache-ttl with duration as 0 and --no-cache=false');
  return milliseconds;
}

/** A repository for cached steps: with a registry, and neither tag nor digest. */
function repository(flag: string, text: string): string {
  const refuse = (why: string) => usage(`unable to parse value provided \`[${text}]\` to --${flag}: ${why}`);
  let reference: NamedReference;
  try {
    reference = parseReference(text);
  } catch (cause) {
    throw refuse(`invalid repo "${text}": must contain registry and repository: ${(cause as Error).message}`);
  }
  if (reference.tag !== undefined || reference.digest !== undefined)
    throw refuse(`repository must contain neither a tag nor digest: ${text}`);
  return text;
}
