import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Descriptor } from '../image/descriptor.ts';
import type { Digest } from '../image/digest.ts';
import type { NamedReference } from '../image/reference.ts';
import type { BlobStream } from '../store/blob/contract.ts';
import { expectedOf, verified } from '../store/blob/verify.ts';
import type { OnProgress, TransportContext } from '../transport/contract.ts';
import { discardBody } from '../transport/docker/read-body.ts';
import { DockerReference } from '../transport/docker/reference.ts';
import { registryError } from '../transport/docker/registry-error.ts';
import { openRepository } from '../transport/docker/repository.ts';
import { openRegistryBlobs } from '../transport/docker/source.ts';
import { TransportError } from '../transport/error.ts';
import { meterOf } from '../transport/meter.ts';
import { digestFile } from './pack.ts';

const OCTETS = 'application/octet-stream';

/** What a registry says of a blob. @throws TransportError `not-found` */
export async function describeBlob(
  repository: NamedReference,
  digest: Digest,
  context: TransportContext,
): Promise<Descriptor> {
  const opened = await openRepository(repository, context, 'pull');
  const size = await opened.blobSize(digest);
  if (size === undefined) throw new TransportError('not-found', `blob ${digest} is not in ${opened.title}`);
  return { mediaType: OCTETS, digest, size };
}

/** The bytes of a blob of a registry; the stream fails before its end unless they are right. */
export async function fetchBlob(
  repository: NamedReference,
  digest: Digest,
  context: TransportContext,
  options: { readonly onProgress?: OnProgress } = {},
): Promise<BlobStream & { readonly descriptor: Descriptor }> {
  const descriptor = await describeBlob(repository, digest, context);
  const blobs = await openRegistryBlobs(repository, context);
  const { stream } = await blobs.getBlob(descriptor);
  const meter = meterOf(descriptor, options.onProgress);
  return { stream: verified(stream, expectedOf(descriptor), meter), descriptor };
}

/**
 * Puts a file into a registry as a blob, as `oras blob push`.
 * @param digest what the file must be; absent: computed
 */
export async function pushBlob(
  repository: NamedReference,
  path: string,
  context: TransportContext,
  options: { readonly digest?: Digest; readonly mediaType?: string; readonly onProgress?: OnProgress } = {},
): Promise<Descriptor> {
  const { size } = await stat(path);
  const digest = options.digest ?? (await digestFile(path, context.signal));
  const descriptor = { mediaType: options.mediaType ?? OCTETS, digest, size };
  const { domain, path: name } = repository;
  const reference = DockerReference.of({ domain, path: name }, { unknownDigest: true });
  await using destination = await reference.openDestination(context);
  if (await destination.tryReuseBlob(descriptor, { isConfig: false })) return descriptor;
  const meter = meterOf(descriptor, options.onProgress);
  const stream = verified(createReadStream(path), expectedOf(descriptor, path), meter);
  await destination.putBlob({ stream, sizeBytes: size }, descriptor, { isConfig: false });
  return descriptor;
}

/** Removes a blob from a repository, whoever still needs it. @throws TransportError `not-found`, `unsupported` */
export async function deleteBlob(
  repository: NamedReference,
  digest: Digest,
  context: TransportContext,
): Promise<void> {
  const opened = await openRepository(repository, context, '*');
  const response = await opened.send({ method: 'DELETE', target: `blobs/${digest}` });
  if (response.status === 202 || response.status === 200) return discardBody(response);
  const error = await registryError(response, `deleting blob ${digest} of ${opened.title}`);
  if (response.status !== 405) throw error;
  throw new TransportError('unsupported', error.message, {
    cause: error,
    facts: error.facts,
    hint: 'the registry allows no deletes; docker-registry needs REGISTRY_STORAGE_DELETE_ENABLED=true',
  });
}
