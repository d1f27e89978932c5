import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { Annotations, Descriptor } from '../image/descriptor.ts';
import { type Digest, digestOf } from '../image/digest.ts';
import { MEDIA_TYPE } from '../image/media-type.ts';
import { ArtifactError } from './error.ts';

/** Annotations that the `oras` tool gives to files and directories. */
export const TITLE = 'org.opencontainers.image.title';
export const UNPACK = 'io.deis.oras.content.unpack';
export const CONTENT_DIGEST = 'io.deis.oras.content.digest';

const DEFAULT_FILE_TYPE = 'application/vnd.oci.image.layer.v1.tar';
const DEFAULT_DIRECTORY_TYPE = 'application/vnd.oci.image.layer.v1.tar+gzip';
/** What the image-spec v1.1 guidance asks for where there is no artifactType: `oras` does the same. */
export const UNKNOWN_ARTIFACT_TYPE = 'application/vnd.unknown.artifact.v1';

export const UNKNOWN_CONFIG_TYPE = 'application/vnd.unknown.config.v1+json';

/** The empty JSON object, OCI image-spec v1.1 manifest.md, guidance for an empty descriptor. */
export const EMPTY_BYTES: Uint8Array = Buffer.from('{}');
export const EMPTY_DESCRIPTOR: Descriptor = {
  mediaType: MEDIA_TYPE.ociEmpty,
  digest: digestOf(EMPTY_BYTES),
  size: 2,
  data: 'e30=',
};

/** One thing to pack: a file or a directory on disk. */
export interface ArtifactFile {
  readonly path: string;
  /** Default: a tar layer type, as `oras push` gives to files without one. */
  readonly mediaType?: string;
  /** The name under which a pull writes it; default: the path as given. */
  readonly title?: string;
  readonly annotations?: Annotations;
}

/** A blob that is ready to be sent: its descriptor and how to read it from the start. */
export interface PackedBlob {
  readonly descriptor: Descriptor;
  readonly open: () => Readable;
}

/**
 * Digests a file, or makes a deterministic tar+gzip of a directory in `workDirectory`, and describes it.
 * @param workDirectory of the caller alone; it removes the directory when everything is sent
 * @throws ArtifactError `bad-file` for what is neither a file nor a directory
 */
export async function packFile(
  file: ArtifactFile,
  workDirectory: string,
  signal?: AbortSignal,
): Promise<PackedBlob> {
  const info = await stat(file.path);
  const title = file.title ?? file.path;
  if (info.isFile()) {
    const digest = await digestFile(file.path, signal);
    const descriptor: Descriptor = {
      mediaType: file.mediaType ?? DEFAULT_FILE_TYPE,
      digest,
      size: info.size,
      annotations: { [TITLE]: title, ...file.annotations },
    };
    return { descriptor, open: () => createReadStream(file.path) };
  }
  if (!info.isDirectory())
    throw new ArtifactError('bad-file', `${file.path} is neither a file nor a directory`);
  const archive = join(workDirectory, `${randomUUID()}.tar.gz`);
  const contentDigest = await archiveDirectory(file.path, basename(title), archive, signal);
  const { size } = await stat(archive);
  const annotations = {
    [CONTENT_DIGEST]: contentDigest,
    [UNPACK]: 'true',
    [TITLE]: title,
    ...file.annotations,
  };
  return {
    descriptor: {
      mediaType: file.mediaType ?? DEFAULT_DIRECTORY_TYPE,
      digest: await digestFile(archive, signal),
      size,
      annotations,
    },
    open: () => createReadStream(archive),
  };
}

/** The sha256 of a file. */
export async function digestFile(path: string, signal?: AbortSignal): Promise<Digest> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash, { signal });
  return `sha256:${hash.digest('hex')}` as Digest;
}

/** Sorted names, no owners, no times: the same tree gives the same bytes. */
async function archiveDirectory(
  directory: string,
  prefix: string,
  archive: string,
  signal?: AbortSignal,
): Promise<Digest> {
  const { create } = await import('tar');
  const names = (await readdir(directory, { recursive: true })).sort();
  const hash = createHash('sha256');
  const tee = new PassThrough();
  tee.on('data', (chunk: Buffer) => hash.update(chunk));
  const tar = create(
    { cwd: directory, prefix, portable: true, noDirRecurse: true, mtime: new Date(0) },
    names.length ? names : ['.'],
  );
  await pipeline(
    tar as unknown as Readable,
    tee,
    createGzip({ level: 6 }),
    createWriteStream(archive, { flags: 'wx' }),
    {
      signal,
    },
  );
  return `sha256:${hash.digest('hex')}` as Digest;
}

/** What an artifact manifest says beside its files. */
export interface ArtifactOptions {
  readonly artifactType?: string;
  readonly annotations?: Annotations;
  readonly subject?: Descriptor;
  /** Absent: the empty config. */
  readonly config?: Descriptor;
  /** RFC 3339 time for `org.opencontainers.image.created`; absent: none, for reproducible digests. */
  readonly created?: string;
}

/** Serializes an OCI image manifest that carries an artifact, image-spec v1.1 manifest.md. */
export function artifactManifest(layers: readonly Descriptor[], options: ArtifactOptions): Uint8Array {
  const artifactType = options.artifactType ?? (options.config ? undefined : UNKNOWN_ARTIFACT_TYPE);
  const annotations = {
    ...(options.created ? { 'org.opencontainers.image.created': options.created } : {}),
    ...options.annotations,
  };
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      ...(artifactType ? { artifactType } : {}),
      config: options.config ?? EMPTY_DESCRIPTOR,
      layers: layers.length ? layers : [EMPTY_DESCRIPTOR],
      ...(options.subject ? { subject: bareDescriptor(options.subject) } : {}),
      ...(Object.keys(annotations).length ? { annotations } : {}),
    }),
  );
}

/** A subject is named by type, digest and size alone. */
function bareDescriptor({ mediaType, digest, size }: Descriptor): Descriptor {
  return { mediaType, digest, size };
}
