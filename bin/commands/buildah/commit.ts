import { readFileSync, statSync, writeFileSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { overrideRuntime } from '../../../build/commit/change-config.ts';
import { type CommitElsewhereOptions, commitContainer } from '../../../build/commit/commit.ts';
import { setLabel } from '../../../build/container/config.ts';
import type { PullPolicy, WorkingContainer } from '../../../build/container/contract.ts';
import { withMount } from '../../../build/container/mount.ts';
import { BuildError } from '../../../build/error.ts';
import { storageName } from '../../../build/exec/destination.ts';
import { runtimeOf } from '../../../build/run/runtime-name.ts';
import type { ScanResult } from '../../../build/sbom/scan.ts';
import { SlipwayError } from '../../../errors.ts';
import { parseImageReference } from '../../../transport/references.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../cli/contract.ts';
import { refuseLateFlags, usage } from './arguments.ts';
import { BLOB_CACHE_FLAG, blobDirectoryOf } from './blob-cache-flag.ts';
import { COMPRESSION_FLAGS, compressionChoice } from './compression-flags.ts';
import { CONFIDENTIAL_FLAG, refuseConfidential } from './confidential-flag.ts';
import { containersConfig } from './containers-conf.ts';
import { findContainer } from './containers-in-store.ts';
import { ENCRYPTION_FLAGS, encryptionOptions } from './encryption-flags.ts';
import { formatOf, parsePullPolicy } from './from.ts';
import { imageMetadata } from './image-metadata.ts';
import { namesTransport } from './image-name.ts';
import { addToManifestList, checkListName } from './manifest/add-local.ts';
import { BUILDAH_LEVEL, REGISTRY_FLAGS } from './registry-flags.ts';
import { readSbomFlags, SBOM_FLAGS } from './sbom-flags.ts';
import { openSession, type Session } from './session.ts';
import { signersOf } from './signing.ts';
import { TIMESTAMP_FLAGS, timestampOptions } from './timestamp-flags.ts';

const FLAGS: readonly FlagSpec[] = [
  ...REGISTRY_FLAGS,
  ...COMPRESSION_FLAGS,
  ...ENCRYPTION_FLAGS,
  ...TIMESTAMP_FLAGS,
  ...SBOM_FLAGS,
  { name: 'add-file', kind: 'array', usage: 'add a file to the image, `SOURCE:DESTINATION`' },
  { name: 'annotation', kind: 'array', usage: 'set `NAME=VALUE` in the manifest' },
  BLOB_CACHE_FLAG,
  {
    name: 'change',
    short: 'c',
    kind: 'array',
    usage: 'apply a Containerfile `INSTRUCTION` to the configuration',
  },
  { name: 'config', kind: 'string', usage: 'take configuration from this JSON file' },
  {
    name: 'created-annotation',
    kind: 'bool',
    default: true,
    usage: 'set the org.opencontainers.image.created annotation',
  },
  CONFIDENTIAL_FLAG,
  { name: 'disable-compression', short: 'D', kind: 'bool', default: true, usage: 'do not compress layers' },
  { name: 'format', short: 'f', kind: 'string', usage: 'image format: oci or docker' },
  { name: 'identity-label', kind: 'optionalBool', usage: 'set the io.buildah.version label (default true)' },
  { name: 'iidfile', kind: 'string', usage: "write the image's id to this file" },
  { name: 'manifest', kind: 'string', usage: 'add the image to this manifest list, made when missing' },
  { name: 'metadata-file', kind: 'string', usage: 'write facts about the image to this file as JSON' },
  { name: 'omit-history', kind: 'bool', usage: 'write no history' },
  {
    name: 'pull',
    kind: 'string',
    default: 'true',
    impliedValue: 'true',
    usage: 'when to pull scanner images: true (newer ones), false (missing ones), always or never',
  },
  { name: 'quiet', short: 'q', kind: 'bool', usage: 'print no progress' },
  { name: 'rm', kind: 'bool', usage: 'remove the working container afterwards' },
  { name: 'sign-by', kind: 'string', usage: 'sign with the GPG key of this `FINGERPRINT`' },
  { name: 'squash', kind: 'bool', usage: 'make one layer of everything' },
  { name: 'unsetannotation', kind: 'slice', usage: 'leave out an annotation of the base image' },
  { name: 'unsetenv', kind: 'slice', usage: 'leave out a variable of the environment' },
];

export const commit: CommandSpec = {
  name: 'commit',
  summary: 'Make an image of a working container',
  usage: '[flags] CONTAINER [IMAGE]',
  examples: ['buildah commit work app:1.0', 'buildah commit --rm work docker://registry.example.com/app:1.0'],
  flags: FLAGS,
  interspersed: false,
  run: runCommit,
};

async function runCommit(context: CommandContext): Promise<void> {
  const { flags, args } = context;
  const [name, image] = args;
  if (name === undefined) throw usage('container ID must be specified');
  refuseLateFlags(args);
  if (args.length > 2) throw usage('too many arguments specified');
  refuseConfidential(flags);
  checkCompression(context);
  const format = formatOf(context);
  await using session = await openSession(context, { flags: FLAGS, quiet: flags.bool('quiet') });
  const found = await findContainer(session, name);
  // An empty name is none.
  const destination = !image ? undefined : await destinationOf(session, image);
  const manifest = flags.string('manifest');
  if (manifest) await checkListName(session, manifest);
  const timestamps = timestampOptions(context);
  const container = identified(context, found, timestamps);
  await using scan = await scanned(context, session, container);
  const options: CommitElsewhereOptions = {
    ...timestamps,
    format,
    squash: flags.bool('squash'),
    omitHistory: flags.bool('omit-history'),
    compressLayers: !flags.bool('disable-compression'),
    blobDirectory: blobDirectoryOf(context),
    reportsCopy: true,
    annotations: flags.list('annotation'),
    unsetAnnotations: flags.list('unsetannotation'),
    unsetEnvironment: flags.list('unsetenv'),
    createdAnnotation: flags.bool('created-annotation'),
    changeConfig: await overrideOf(context),
    extraFiles: { ...scan?.imageFiles, ...addedFiles(context) },
    // A name with a digest may be refused when the image is made, and the container is kept then.
    consumeContainer: flags.bool('rm') && destination?.named?.digest === undefined,
    signers: await signersOf(context),
    copy: {
      ...(await compressionChoice(context)),
      ...(await encryptionOptions(context)),
      layers: flags.bool('disable-compression') ? 'plain' : 'compress',
    },
  };
  const result = await commitContainer(session.surroundings, container, destination, options).catch(
    (cause: unknown) => {
      throw failed(cause, container.name, image ?? '');
    },
  );
  if (manifest) await addToManifestList(session, manifest, result.imageId);
  if (flags.string('iidfile')) writeFileSync(flags.string('iidfile'), `sha256:${result.imageId}`);
  else context.print(result.imageId);
  if (flags.string('metadata-file'))
    writeFileSync(flags.string('metadata-file'), JSON.stringify(imageMetadata(result)));
  if (flags.bool('rm')) await session.store.deleteContainer(container.id);
}

function failed(cause: unknown, container: string, image: string): unknown {
  if (!(cause instanceof SlipwayError)) return cause;
  const { hint, exitCode, retryable } = cause;
  return new BuildError(
    'bad-argument',
    `committing container "${container}" to "${image}": ${cause.message}`,
    { cause, hint, exitCode, retryable },
  );
}

async function destinationOf(session: Session, image: string) {
  const { surroundings } = session;
  if (namesTransport(image)) return parseImageReference(image, surroundings);
  return parseImageReference(`containers-storage:${storageName(image)}`, surroundings);
}

/** `io.buildah.version` says what made the image, except where the result is to be the same anywhere. */
function identified(
  { flags }: CommandContext,
  container: WorkingContainer,
  timestamps: ReturnType<typeof timestampOptions>,
): WorkingContainer {
  const pinned = timestamps.timestampSeconds !== undefined || timestamps.sourceDateEpochSeconds !== undefined;
  const wanted = flags.optionalBool('identity-label') ?? !pinned;
  return wanted ? setLabel('io.buildah.version', BUILDAH_LEVEL)(container) : container;
}

const SCANNER_PULL: Readonly<Record<string, PullPolicy>> = {
  true: 'ifnewer',
  false: 'missing',
  always: 'always',
  never: 'never',
};

/** What `--sbom` and its companions find in the container's files. */
async function scanned(
  context: CommandContext,
  session: Session,
  container: WorkingContainer,
): Promise<ScanResult | undefined> {
  const options = readSbomFlags(context, []);
  if (!options) return undefined;
  const { scanRootfs } = await import('../../../build/sbom/scan.ts');
  await using mounted = await withMount(session.store, container);
  return scanRootfs(session.surroundings, mounted.rootfs, options, {
    isolation: container.isolation,
    runtime: runtimeOf((await containersConfig(context)).engine, context.io.environment.BUILDAH_RUNTIME),
    pullPolicy: SCANNER_PULL[context.flags.string('pull')] ?? parsePullPolicy(context.flags.string('pull')),
    stderr: context.io.stderr as Writable,
  });
}

function checkCompression({ flags }: CommandContext): void {
  if (!flags.changed('disable-compression') || !flags.bool('disable-compression')) return;
  for (const name of ['compression-format', 'force-compression'])
    if (flags.changed(name)) throw usage(`--disable-compression and --${name} cannot be used together`);
}

async function overrideOf({ flags }: CommandContext) {
  const changes = flags.list('change');
  const file = flags.string('config');
  if (changes.length === 0 && file === '') return undefined;
  let config: unknown = {};
  if (file) {
    try {
      config = JSON.parse(readFileSync(file, 'utf8'));
    } catch (cause) {
      throw usage(`parsing configuration blob from "${file}": ${(cause as Error).message}`);
    }
  }
  return overrideRuntime(config as object, changes);
}

function addedFiles({ flags }: CommandContext): Record<string, string> {
  const files: Record<string, string> = {};
  for (const spec of flags.list('add-file')) {
    const colon = spec.indexOf(':');
    const source = colon < 0 ? spec : spec.slice(0, colon);
    const target = colon < 0 ? spec : spec.slice(colon + 1);
    let isDirectory: boolean;
    try {
      isDirectory = statSync(source).isDirectory();
    } catch {
      throw usage(
        `parsing add-file argument "${spec}": source "${source}": stat ${source}: no such file or directory`,
      );
    }
    if (isDirectory)
      throw usage(`parsing add-file argument "${spec}": source "${source}" is not a regular file`);
    files[target] = source;
  }
  return files;
}
