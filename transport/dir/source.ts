import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { isSystemError } from '../../errors.ts';
import type { Descriptor } from '../../image/descriptor.ts';
import type { Digest } from '../../image/digest.ts';
import { MANIFEST_LIMIT_BYTES } from '../../image/json.ts';
import { guessManifestMediaType, type ManifestDocument } from '../../image/manifest.ts';
import { parseSignatureBlob, SIGNATURE_LIMIT_BYTES, SIGNATURE_LIMIT_COUNT } from '../../image/signature.ts';
import type { BlobStream } from '../../store/blob/contract.ts';
import { missing, openRegular, readDocument } from '../blob-file.ts';
import type { ImageSource, StoredSignature } from '../contract.ts';
import { blobName, checkVersion, manifestName, signatureName } from './files.ts';
import type { DirectoryReference } from './reference.ts';

const VERSION_LIMIT_BYTES = 1024;

/** @throws TransportError `not-found` without a manifest there, `bad-layout` for a newer version of the format */
export async function openDirectorySource(reference: DirectoryReference): Promise<ImageSource> {
  const path = join(reference.path, 'version');
  const version = await readDocument(path, VERSION_LIMIT_BYTES, 'version').catch((error: unknown) => {
    if (isSystemError(error, 'ENOENT')) return undefined;
    throw error;
  });
  if (version !== undefined) checkVersion(Buffer.from(version).toString(), reference.path);
  return new DirectorySource(reference);
}

class DirectorySource implements ImageSource {
  readonly reference: DirectoryReference;

  constructor(reference: DirectoryReference) {
    this.reference = reference;
  }

  async getManifest(instance?: Digest): Promise<ManifestDocument> {
    const path = join(this.reference.path, manifestName(instance));
    const bytes = await readDocument(path, MANIFEST_LIMIT_BYTES, 'manifest').catch(missing(path));
    return { bytes, mediaType: guessManifestMediaType(bytes) ?? '' };
  }

  async getBlob(descriptor: Descriptor, options: { readonly offset?: number } = {}): Promise<BlobStream> {
    const path = join(this.reference.path, blobName(descriptor.digest));
    const file = await openRegular(path).catch(missing(path));
    const { size } = await file.stat();
    const stream = createReadStream(path, {
      fd: file,
      start: options.offset ?? 0,
      highWaterMark: 1 << 20,
    });
    return { stream, sizeBytes: size - (options.offset ?? 0) };
  }

  async getSignatures(instance?: Digest): Promise<readonly StoredSignature[]> {
    const signatures: StoredSignature[] = [];
    for (let index = 1; index <= SIGNATURE_LIMIT_COUNT; index += 1) {
      const path = join(this.reference.path, signatureName(index, instance));
      try {
        signatures.push(parseSignatureBlob(await readDocument(path, SIGNATURE_LIMIT_BYTES, 'signature')));
      } catch (error) {
        if (isSystemError(error, 'ENOENT')) return signatures;
        throw error;
      }
    }
    return signatures;
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
