import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Descriptor } from '../../image/descriptor.ts';
import type { Digest } from '../../image/digest.ts';
import { MANIFEST_LIMIT_BYTES } from '../../image/json.ts';
import { parseManifest } from '../../image/manifest.ts';
import { replaceFile } from '../blob-file.ts';
import type { TransportContext } from '../contract.ts';
import { TransportError } from '../error.ts';
import { withFileLock } from '../file-lock.ts';
import { LayoutDirectory } from './directory.ts';
import { parseLayoutIndex, selectPosition } from './layout.ts';
import type { LayoutReference } from './reference.ts';

/**
 * Takes the image out of index.json and removes the blobs that nothing else in this layout uses. Blobs in a shared
 * blob directory stay, since other layouts may use them. The index goes first: a crash leaves unused blobs, never an
 * image without its blobs.
 * @throws TransportError `not-found`, `bad-layout`
 */
export async function deleteFromLayout(reference: LayoutReference, context: TransportContext): Promise<void> {
  const { path } = reference;
  const files = new LayoutDirectory(path, context.ociSharedBlobDirectory);
  const local = new LayoutDirectory(path);
  await withFileLock(
    join(path, '.index.lock'),
    async () => {
      const index = parseLayoutIndex(await files.readIndex(), path);
      const position = selectPosition(index, reference.selector, path);
      const doomed = new Set<Digest>();
      await collect(files, index.manifests[position] as Descriptor, doomed);
      const kept = new Set<Digest>();
      for (const entry of index.manifests.toSpliced(position, 1)) await collect(files, entry, kept);
      const manifests = (index.json.manifests as []).toSpliced(position, 1);
      await replaceFile(
        join(path, 'index.json'),
        Buffer.from(`${JSON.stringify({ ...index.json, manifests })}\n`),
      );
      for (const digest of doomed.difference(kept)) await rm(local.blobPath(digest), { force: true });
    },
    context.signal,
  );
}

/** Adds the digests of everything below `descriptor`, itself included; a child that is not there has nothing below it. */
async function collect(files: LayoutDirectory, descriptor: Descriptor, into: Set<Digest>): Promise<void> {
  if (into.has(descriptor.digest)) return;
  into.add(descriptor.digest);
  let bytes: Uint8Array;
  try {
    bytes = await files.readBlob(descriptor.digest, MANIFEST_LIMIT_BYTES, 'manifest');
  } catch (error) {
    if (error instanceof TransportError && error.code === 'not-found') return;
    throw error;
  }
  const manifest = parseManifest(bytes, descriptor.mediaType);
  if (manifest.kind === 'index') for (const child of manifest.manifests) await collect(files, child, into);
  else if (manifest.kind === 'image')
    for (const { digest } of [manifest.config, ...manifest.layers]) into.add(digest);
}
