import { Readable } from 'node:stream';
import { type ImageConfig, parseImageConfig } from '../../image/config.ts';
import type { Descriptor } from '../../image/descriptor.ts';
import { type Digest, digestOf } from '../../image/digest.ts';
import { MANIFEST_LIMIT_BYTES } from '../../image/json.ts';
import type { ManifestDocument } from '../../image/manifest.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import { serializeManifest } from '../../image/serialize.ts';
import { detectAndDecompress, detectCompression } from '../../store/blob/compression.ts';
import type { BlobStream } from '../../store/blob/contract.ts';
import type { ArchiveMembers, Member } from '../archive/members.ts';
import { type OpenArchive, openArchive } from '../archive/plain-file.ts';
import type { ImageReference, ImageSource, StoredSignature, TransportContext } from '../contract.ts';
import { TransportError } from '../error.ts';
import { type ArchiveItem, chooseItem, readItems } from './items.ts';
import type { DockerArchiveReference } from './reference.ts';

/** @throws TransportError `not-found`, `bad-archive`, `bad-reference` */
export async function openDockerArchiveSource(
  reference: DockerArchiveReference,
  context: TransportContext,
): Promise<ImageSource> {
  const archive = await openArchive(reference.path, context);
  return openSavedImage(reference, archive, reference);
}

/** An image of an archive in the format of `docker save`; the archive is closed with the source. */
export async function openSavedImage(
  reference: ImageReference,
  archive: OpenArchive,
  selector: Parameters<typeof chooseItem>[1],
): Promise<ImageSource> {
  try {
    const { members } = archive;
    const item = chooseItem(await readItems(members), selector);
    const config = await members.readDocument(item.config, MANIFEST_LIMIT_BYTES);
    const layers = await knownLayers(members, item, parseImageConfig(config));
    return new SavedImageSource(reference, archive, config, layers);
  } catch (error) {
    await archive[Symbol.asyncDispose]();
    throw error;
  }
}

interface KnownLayer {
  readonly diffId: Digest;
  readonly member: Member;
  /** Plain bytes. */
  readonly size: number;
}

async function knownLayers(
  members: ArchiveMembers,
  item: ArchiveItem,
  config: ImageConfig,
): Promise<KnownLayer[]> {
  const diffIds = config.rootfs.diff_ids;
  if (item.layers.length !== diffIds.length)
    throw new TransportError(
      'bad-archive',
      `Inconsistent layer count: ${item.layers.length} in manifest, ${diffIds.length} in config`,
    );
  const byMember = new Map<Member, KnownLayer>();
  const layers: KnownLayer[] = [];
  for (const [index, name] of item.layers.entries()) {
    const diffId = diffIds[index] as Digest;
    const member = members.find(name);
    if (!member)
      throw new TransportError('bad-archive', `layer ${JSON.stringify(name)} is missing in ${members.path}`);
    const known = byMember.get(member);
    if (known && known.diffId !== diffId)
      throw new TransportError(
        'bad-archive',
        `Layer tarfile ${JSON.stringify(name)} used for two different DiffID values`,
      );
    const layer = known ?? { diffId, member, size: await plainSize(members, member) };
    byMember.set(member, layer);
    layers.push(layer);
  }
  return layers;
}

/** Some tools compress the layers of such archives; then only reading them tells the plain size. */
async function plainSize(members: ArchiveMembers, member: Member): Promise<number> {
  const head = await members.head(member, 6);
  if (detectCompression(head) === 'none') return member.size;
  let size = 0;
  const { stream } = await detectAndDecompress(members.read(member).stream);
  for await (const chunk of stream as AsyncIterable<Buffer>) size += chunk.length;
  return size;
}

class SavedImageSource implements ImageSource {
  readonly reference: ImageReference;
  readonly manifestStays = true;
  readonly #archive: OpenArchive;
  readonly #config: Uint8Array;
  readonly #configDigest: Digest;
  readonly #layers: readonly KnownLayer[];

  constructor(
    reference: ImageReference,
    archive: OpenArchive,
    config: Uint8Array,
    layers: readonly KnownLayer[],
  ) {
    this.reference = reference;
    this.#archive = archive;
    this.#config = config;
    this.#configDigest = digestOf(config);
    this.#layers = layers;
  }

  /** Made here: archives of this kind have none. Layers are named by diffID with the gzip type, as containers/image does. */
  async getManifest(): Promise<ManifestDocument> {
    const mediaType = MEDIA_TYPE.dockerManifest;
    const bytes = serializeManifest({
      kind: 'image',
      format: 'docker',
      mediaType,
      config: { mediaType: MEDIA_TYPE.dockerConfig, digest: this.#configDigest, size: this.#config.length },
      layers: this.#layers.map(({ diffId, size }) => ({
        mediaType: MEDIA_TYPE.dockerLayerGzip,
        digest: diffId,
        size,
      })),
    });
    return { bytes, mediaType };
  }

  /** What {@link getBlob} gives is plain, whatever the manifest's type says. */
  async layersForCopy(): Promise<readonly Descriptor[]> {
    return this.#layers.map(({ diffId, size }) => ({
      mediaType: MEDIA_TYPE.dockerLayer,
      digest: diffId,
      size,
    }));
  }

  async getBlob(descriptor: Descriptor): Promise<BlobStream> {
    if (descriptor.digest === this.#configDigest)
      return { stream: Readable.from([this.#config]), sizeBytes: this.#config.length };
    const layer = this.#layers.find(({ diffId }) => diffId === descriptor.digest);
    if (!layer)
      throw new TransportError('not-found', `unknown blob ${descriptor.digest} in the archive`, {
        facts: { digest: descriptor.digest },
      });
    const { stream } = await detectAndDecompress(this.#archive.members.read(layer.member).stream);
    return { stream, sizeBytes: layer.size };
  }

  async getSignatures(): Promise<readonly StoredSignature[]> {
    return [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#archive[Symbol.asyncDispose]();
  }
}
