import type { Digest } from '../../image/digest.ts';
import type { BlobStream } from '../../store/blob/contract.ts';
import { type OpenArchive, openArchive } from '../archive/plain-file.ts';
import type { ImageSource, TransportContext } from '../contract.ts';
import { TransportError } from '../error.ts';
import { blobPathOf, LAYOUT_INDEX_LIMIT_BYTES, type LayoutFiles } from '../oci/layout.ts';
import { openLayoutSource } from '../oci/source.ts';
import type { LayoutArchiveReference } from './reference.ts';

/** Reads members in place: nothing is unpacked. */
export async function openLayoutArchiveSource(
  reference: LayoutArchiveReference,
  context: TransportContext,
): Promise<ImageSource> {
  return openLayoutSource(reference, reference.selector, await openArchivedLayout(reference.path, context));
}

/** The layout in an archive. */
export async function openArchivedLayout(path: string, context: TransportContext): Promise<LayoutFiles> {
  return new ArchivedLayout(path, await openArchive(path, context));
}

class ArchivedLayout implements LayoutFiles {
  readonly where: string;
  readonly #archive: OpenArchive;

  constructor(path: string, archive: OpenArchive) {
    this.where = path;
    this.#archive = archive;
  }

  readIndex(): Promise<Uint8Array> {
    return this.#archive.members.readDocument('index.json', LAYOUT_INDEX_LIMIT_BYTES);
  }

  readBlob(digest: Digest, limitBytes: number): Promise<Uint8Array> {
    return this.#archive.members.readDocument(`blobs/${blobPathOf(digest)}`, limitBytes);
  }

  async openBlob(digest: Digest, offset: number): Promise<BlobStream> {
    const member = this.#archive.members.find(`blobs/${blobPathOf(digest)}`);
    if (!member)
      throw new TransportError('not-found', `blob ${digest} is not in ${this.where}`, {
        facts: { path: this.where, digest },
      });
    return this.#archive.members.read(member, offset);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#archive[Symbol.asyncDispose]();
  }
}
