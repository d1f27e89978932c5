import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { lstat, mkdir, rename, rm } from 'node:fs/promises';
import { dirname, isAbsolute, join, normalize, resolve, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { makeDirectories } from '../config/make-directories.ts';
import { isSystemError } from '../errors.ts';
import type { Descriptor } from '../image/descriptor.ts';
import { type ImageManifest, parseManifest } from '../image/manifest.ts';
import { choosePlatform } from '../image/platform.ts';
import { BlobMeter, expectedOf } from '../store/blob/verify.ts';
import type {
  AdmissionPolicy,
  ImageReference,
  ImageSource,
  OnProgress,
  TransportContext,
} from '../transport/contract.ts';
import { meterOf } from '../transport/meter.ts';
import { readManifest } from '../transport/read-manifest.ts';
import { selectImage } from '../transport/select-image.ts';
import { ArtifactError } from './error.ts';
import { TITLE, UNPACK } from './pack.ts';

/** Options of {@link pullArtifact}. */
export interface PullArtifactOptions {
  /** Where files go; made when missing. */
  readonly directory: string;
  /** A file that is there already is an error instead of being replaced. */
  readonly keepOldFiles?: boolean;
  /** Titles may lead outside `directory`. Off by default: such a title is an error. */
  readonly allowPathTraversal?: boolean;
  /** A file for the config too. */
  readonly configPath?: string;
  /** Pull what the artifact refers to as well, and what that refers to. */
  readonly includeSubject?: boolean;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/** A file that a pull wrote. */
export interface PulledFile {
  readonly path: string;
  readonly descriptor: Descriptor;
}

/**
 * Writes the titled blobs of an artifact to files, as `oras pull`: each is verified before it gets its name, directories
 * are unpacked. Blobs without a title stay away.
 * @param policy decides what may be read, before anything is written; sign/policy makes one from policy.json
 * @throws ArtifactError `unsafe-path`, `exists`; StoreError `digest-mismatch`, `truncated`, `too-large`
 */
export async function pullArtifact(
  policy: AdmissionPolicy,
  reference: ImageReference,
  context: TransportContext,
  options: PullArtifactOptions,
): Promise<readonly PulledFile[]> {
  await using source = await reference.openSource(context);
  const manifest = await artifactOf(policy, source, context);
  if (options.configPath !== undefined) await pullBlob(source, manifest.config, options.configPath, options);
  const own = await pullFiles(source, manifest, options);
  const { configPath: _config, ...rest } = options;
  const subject = options.includeSubject && manifest.subject?.digest;
  const below = subject ? await selectImage(reference, { digest: subject }) : undefined;
  return below ? [...own, ...(await pullArtifact(policy, below, context, rest))] : own;
}

async function pullFiles(
  source: ImageSource,
  manifest: ImageManifest,
  options: PullArtifactOptions,
): Promise<PulledFile[]> {
  const titled = manifest.layers.filter((layer) => layer.annotations?.[TITLE]);
  const planned = titled.map((descriptor) => ({
    descriptor,
    path: targetPath(descriptor.annotations?.[TITLE] as string, options),
  }));
  const pulled: PulledFile[] = [];
  for (const { descriptor, path } of planned) {
    if (options.keepOldFiles && (await exists(path)))
      throw new ArtifactError('exists', `${path} exists already`, {
        hint: 'leave out --keep-old-files to replace it',
      });
    options.onProgress?.({ type: 'started', what: 'blob', descriptor });
    await pullBlob(source, descriptor, path, options);
    options.onProgress?.({ type: 'done', what: 'blob', descriptor });
    pulled.push({ path, descriptor });
  }
  return pulled;
}

/** The admitted manifest of an artifact; of an index, that of the context's platform. */
async function artifactOf(
  policy: AdmissionPolicy,
  source: ImageSource,
  context: TransportContext,
): Promise<ImageManifest> {
  const top = await source.getManifest();
  const manifest = parseManifest(top.bytes, top.mediaType);
  const child = manifest.kind === 'index' ? choosePlatform(manifest.manifests, context.platform) : undefined;
  const document = child ? await readManifest(source, child.digest) : top;
  const parsed = child ? parseManifest(document.bytes, document.mediaType) : manifest;
  if (parsed.kind !== 'image')
    throw new ArtifactError(
      'not-an-artifact',
      child
        ? `${child.digest} is not an artifact manifest`
        : `${source.reference.transport}:${source.reference.within} is not an artifact of this platform`,
    );
  const signatures = () => source.getSignatures(child?.digest);
  await policy.admit({ reference: source.reference, manifest: document, signatures });
  return parsed;
}

function targetPath(title: string, options: PullArtifactOptions): string {
  const root = resolve(options.directory);
  if (options.allowPathTraversal) return resolve(root, title);
  const path = join(root, normalize(title));
  if (isAbsolute(title) || title.includes('\0') || !path.startsWith(root + sep)) {
    throw new ArtifactError(
      'unsafe-path',
      `the artifact names a file outside ${options.directory}: ${JSON.stringify(title)}`,
      { hint: 'use --allow-path-traversal if you trust it' },
    );
  }
  return path;
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}

/** A directory on the way must be a directory, not a link that an earlier file of the artifact may have made. */
async function makeParent(path: string, options: PullArtifactOptions): Promise<void> {
  const root = resolve(options.directory);
  makeDirectories(root);
  await mkdir(dirname(path), { recursive: true });
  for (let directory = dirname(path); directory.startsWith(root + sep); directory = dirname(directory)) {
    if ((await lstat(directory)).isSymbolicLink() && !options.allowPathTraversal)
      throw new ArtifactError('unsafe-path', `${directory} is a symbolic link`);
  }
}

async function pullBlob(
  source: ImageSource,
  descriptor: Descriptor,
  path: string,
  options: PullArtifactOptions,
): Promise<void> {
  await makeParent(path, options);
  const temporary = `${path}.${randomBytes(6).toString('hex')}.part`;
  try {
    await download(source, descriptor, temporary, options);
    if (descriptor.annotations?.[UNPACK] === 'true') await unpackDirectory(temporary, path);
    else await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

async function download(
  source: ImageSource,
  descriptor: Descriptor,
  path: string,
  { signal, onProgress }: PullArtifactOptions,
): Promise<void> {
  const { stream } = await source.getBlob(descriptor, signal ? { signal } : {});
  const meter = new BlobMeter(expectedOf(descriptor), meterOf(descriptor, onProgress));
  await pipeline(stream, meter, createWriteStream(path, { flags: 'wx' }), { signal });
}

/** The archive's top directory carries the title's last name; `tar` keeps every entry inside. */
async function unpackDirectory(archive: string, path: string): Promise<void> {
  const { extract } = await import('tar');
  makeDirectories(path);
  await extract({ file: archive, cwd: path, strip: 1, strict: true });
}
