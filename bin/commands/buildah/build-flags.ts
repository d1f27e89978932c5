import type { FlagSpec } from '../../cli/contract.ts';
import { BLOB_CACHE_FLAG } from './blob-cache-flag.ts';
import { CONFIDENTIAL_FLAG } from './confidential-flag.ts';
import { CONTAINER_FLAGS } from './container-flags.ts';
import { REGISTRY_FLAGS, RETRY_FLAGS } from './registry-flags.ts';
import { SBOM_FLAGS } from './sbom-flags.ts';

const CONTENT: readonly FlagSpec[] = [
  { name: 'annotation', kind: 'array', usage: 'add an annotation `KEY=VALUE` to the image' },
  {
    name: 'build-arg',
    kind: 'array',
    usage: "give an argument `NAME=VALUE` to the build; a bare NAME takes the environment's",
  },
  { name: 'build-arg-file', kind: 'array', usage: 'read arguments, one NAME=VALUE a line, from this `FILE`' },
  {
    name: 'build-context',
    kind: 'array',
    usage:
      'name a further context: `NAME=PATH`, NAME=URL, NAME=docker-image://REF or NAME=oci-layout://PATH:TAG',
  },
  {
    name: 'cpp-flag',
    kind: 'array',
    usage: 'pass this flag to the C preprocessor for files that end in .in',
  },
  { name: 'env', kind: 'array', usage: 'set a variable `NAME=VALUE` in the image' },
  {
    name: 'file',
    short: 'f',
    kind: 'slice',
    usage: 'read instructions from this `PATH` or URL, - is stdin; repeat to go on in further files',
  },
  { name: 'from', kind: 'string', usage: 'base image in place of the one that the first FROM names' },
  { name: 'ignorefile', kind: 'string', usage: 'read ignore rules from this `FILE`' },
  { name: 'label', kind: 'array', usage: 'add a label `KEY=VALUE` to the image' },
  { name: 'layer-label', kind: 'array', usage: 'add a label `KEY=VALUE` to intermediate images' },
  { name: 'target', kind: 'string', usage: 'build up to this `STAGE`' },
  { name: 'unsetenv', kind: 'slice', usage: 'take a variable out of the image' },
  { name: 'unsetlabel', kind: 'slice', usage: 'take a label of the base image out' },
  { name: 'unsetannotation', kind: 'slice', usage: 'take an annotation of the base image out' },
  { name: 'inherit-labels', kind: 'bool', default: true, usage: "keep the base image's labels" },
  { name: 'inherit-annotations', kind: 'bool', default: true, usage: "keep the base image's annotations" },
  {
    name: 'created-annotation',
    kind: 'bool',
    default: true,
    usage: 'say in an annotation when the image was made',
  },
  { name: 'identity-label', kind: 'bool', default: true, usage: 'add the label io.buildah.version' },
  { name: 'omit-history', kind: 'bool', usage: 'write no history into the image' },
  {
    name: 'source-date-epoch',
    kind: 'string',
    usage: 'date of the image and its history, in `SECONDS` since 1970; SOURCE_DATE_EPOCH sets it too',
  },
  {
    name: 'timestamp',
    kind: 'int',
    usage: 'date of the image and of every file that the build adds, in `SECONDS` since 1970',
  },
  { name: 'rewrite-timestamp', kind: 'bool', usage: 'let no file be newer than --source-date-epoch' },
  {
    name: 'os-feature',
    kind: 'array',
    usage: 'a `FEATURE` of the operating system that the image needs; with - behind it one to drop',
  },
  { name: 'os-version', kind: 'string', usage: '`VERSION` of the operating system that the image needs' },
  {
    name: 'secret',
    kind: 'array',
    usage: 'a secret for RUN --mount=type=secret: `id=ID,src=FILE` or id=ID,env=NAME',
  },
  {
    name: 'ssh',
    kind: 'array',
    usage: 'an agent for RUN --mount=type=ssh: `default` or ID[=SOCKET|KEY,KEY]',
  },
  { name: 'mount', kind: 'array', usage: 'a mount for every RUN, as RUN --mount writes it' },
  { name: 'source-policy-file', kind: 'string', usage: 'allow, deny or replace sources as this `FILE` says' },
  {
    name: 'check',
    kind: 'bool',
    usage:
      'build nothing: lint the Containerfile by the rules of Dockerfile syntax, and fail where they find anything',
  },
  {
    name: 'allow',
    kind: 'array',
    usage: 'allow RUN what needs it: `security.insecure`, device or device=NAME',
  },
];

const PRODUCT: readonly FlagSpec[] = [
  { name: 'tag', short: 't', kind: 'array', usage: 'name the image; repeat for further tags' },
  { name: 'manifest', kind: 'string', usage: 'add the image to this manifest list, made when missing' },
  { name: 'format', kind: 'string', usage: 'image `FORMAT`: oci or docker' },
  { name: 'iidfile', kind: 'string', usage: 'write the image id to this `FILE`' },
  { name: 'iidfile-raw', kind: 'string', usage: 'write the image id without sha256: to this `FILE`' },
  { name: 'raw-iidfile', kind: 'string', usage: 'the same as --iidfile-raw', hidden: true },
  { name: 'metadata-file', kind: 'string', usage: 'write facts about the image to this `FILE` as JSON' },
  {
    name: 'output',
    short: 'o',
    kind: 'array',
    usage: "write the image's files to `DEST`: a directory, - for a tar, or type=local|tar,dest=PATH",
  },
  { name: 'squash', kind: 'bool', usage: 'put all layers, those of the base image too, into one' },
  { name: 'sign-by', kind: 'string', usage: 'sign the image with the GPG key of this `FINGERPRINT`' },
  {
    name: 'compress',
    kind: 'bool',
    usage: 'accepted for old scripts',
    noEffect: 'layers in local storage are not compressed',
  },
  {
    name: 'compression-format',
    kind: 'string',
    usage: 'compress layers that leave local storage with gzip, zstd or zstd:chunked',
  },
  { name: 'compression-level', kind: 'int', usage: 'how hard to compress' },
  { name: 'force-compression', kind: 'bool', usage: 'compress again what is compressed otherwise' },
  BLOB_CACHE_FLAG,
  CONFIDENTIAL_FLAG,
  {
    name: 'disable-compression',
    short: 'D',
    kind: 'bool',
    default: true,
    usage: 'leave layers uncompressed',
  },
  {
    name: 'disable-content-trust',
    kind: 'bool',
    usage: 'accepted for Docker scripts',
    noEffect: 'policy.json decides about trust',
  },
  { name: 'save-stages', kind: 'bool', usage: 'keep the images of intermediate stages' },
  {
    name: 'stage-labels',
    kind: 'bool',
    usage: 'label the images of stages with their name and base (with --save-stages)',
  },
];

const PROCESS: readonly FlagSpec[] = [
  { name: 'net', kind: 'string', usage: 'the same as --network' },
  {
    name: 'layers',
    kind: 'bool',
    usage: 'make an image for each step and use those of earlier builds; BUILDAH_LAYERS sets it too',
  },
  { name: 'no-cache', kind: 'bool', usage: 'use no image of an earlier build' },
  { name: 'cache-from', kind: 'array', usage: 'look for steps in this `REPOSITORY`' },
  { name: 'cache-to', kind: 'array', usage: 'push steps to this `REPOSITORY`' },
  { name: 'cache-ttl', kind: 'string', usage: 'take no step that is older than this `DURATION`' },
  { name: 'force-rm', kind: 'bool', usage: 'remove working containers also after a failure' },
  { name: 'rm', kind: 'bool', default: true, usage: 'remove working containers after success' },
  {
    name: 'jobs',
    kind: 'int',
    default: 1,
    usage:
      'how many stages are built at once, 0 for all, their output as it comes; without this flag stages that do not need each other are built at once, too, and shown one after the other',
  },
  {
    name: 'skip-unused-stages',
    kind: 'bool',
    default: true,
    usage: 'leave out stages that the last one does not need',
  },
  { name: 'all-platforms', kind: 'bool', usage: 'build for every platform that all base images have' },
  {
    name: 'pull',
    kind: 'string',
    default: 'missing',
    impliedValue: 'always',
    usage: 'when to pull base images: `missing`, always, never or newer',
  },
  { name: 'pull-always', kind: 'bool', usage: 'pull even what is here', hidden: true },
  { name: 'pull-never', kind: 'bool', usage: 'pull nothing', hidden: true },
  { name: 'compat-volumes', kind: 'bool', usage: 'undo what a RUN writes below a VOLUME' },
  { name: 'stdin', kind: 'bool', usage: "pass this command's stdin to RUN" },
  { name: 'quiet', short: 'q', kind: 'bool', usage: 'print nothing but the image id' },
  { name: 'logfile', kind: 'string', usage: 'write output to this `FILE`' },
  { name: 'logsplit', kind: 'bool', usage: 'write one --logfile for each platform' },
  { name: 'log-rusage', kind: 'bool', usage: 'say after each step what it used', hidden: true },
  { name: 'rusage-logfile', kind: 'string', usage: 'write that to this `FILE`', hidden: true },
  { name: 'loglevel', kind: 'int', usage: 'accepted for old scripts', hidden: true },
  { name: 'no-hostname', kind: 'bool', usage: "leave the image's /etc/hostname to RUN" },
  { name: 'no-hosts', kind: 'bool', usage: "leave the image's /etc/hosts to RUN" },
  { name: 'runtime', kind: 'string', usage: '`PATH` of the OCI runtime' },
  { name: 'runtime-flag', kind: 'slice', usage: 'pass this flag, written without --, to the runtime' },
  { name: 'hooks-dir', kind: 'array', usage: 'read OCI hooks from this `DIRECTORY`' },
];

/** The flags of `buildah build`. */
export const BUILD_FLAGS: readonly FlagSpec[] = withoutRepeats([
  ...CONTENT,
  ...PRODUCT,
  ...PROCESS,
  ...SBOM_FLAGS,
  ...REGISTRY_FLAGS,
  ...RETRY_FLAGS,
  ...CONTAINER_FLAGS,
]);

/** The first declaration of a name counts. */
function withoutRepeats(flags: readonly FlagSpec[]): readonly FlagSpec[] {
  const seen = new Map<string, FlagSpec>();
  for (const flag of flags) if (!seen.has(flag.name)) seen.set(flag.name, flag);
  return [...seen.values()];
}
