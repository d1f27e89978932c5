import { Readable } from 'node:stream';
import type { Descriptor } from '../../image/descriptor.ts';
import { type Digest, digestOf } from '../../image/digest.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import { type NamedReference, withSelector } from '../../image/reference.ts';
import type { SignatureBlob } from '../../image/signature.ts';
import type { TransportContext } from '../contract.ts';
import { DockerReference } from './reference.ts';
import { openRepository } from './repository.ts';
import { readSignatures, writeAttachments, writeSignatures } from './signatures.ts';

/** A sigstore bundle on its way to a registry. */
export interface BundleToAttach {
  readonly bytes: Uint8Array;
  /** Media type of the bundle, and artifact type of its referrer. */
  readonly mediaType: string;
  readonly annotations: Readonly<Record<string, string>>;
}

/**
 * Adds signatures to a manifest that is in a registry already; the manifest and its tags are not touched. Simple
 * signatures go to the registry's extension or the lookaside store, sigstore ones to Cosign's tag.
 */
export async function addSignatures(
  name: NamedReference,
  manifest: Digest,
  signatures: readonly SignatureBlob[],
  context: TransportContext,
): Promise<void> {
  const repository = await openRepository(withSelector(name, { digest: manifest }), context, 'pull,push');
  const simple = signatures.filter((signature) => signature.kind === 'simple');
  const sigstore = signatures.filter((signature) => signature.kind === 'sigstore');
  if (simple.length > 0) {
    const present = (await readSignatures(repository, manifest, context)).filter(
      ({ kind }) => kind === 'simple',
    );
    await writeSignatures(
      { signatureKinds: ['simple'] },
      repository,
      manifest,
      [...present, ...simple],
      context,
    );
  }
  if (sigstore.length > 0) await writeAttachments(repository, manifest, sigstore);
}

/** Attaches a bundle as referrer of `subject` (Cosign 3, OCI image-spec v1.1). @returns the referrer's digest */
export async function attachBundle(
  name: NamedReference,
  subject: Descriptor,
  bundle: BundleToAttach,
  context: TransportContext,
): Promise<Digest> {
  const config = Buffer.from('{}');
  const layer = { mediaType: bundle.mediaType, digest: digestOf(bundle.bytes), size: bundle.bytes.length };
  const empty = { mediaType: MEDIA_TYPE.ociEmpty, digest: digestOf(config), size: config.length };
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      artifactType: bundle.mediaType,
      config: empty,
      layers: [layer],
      subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size },
      annotations: bundle.annotations,
    }),
  );
  const digest = digestOf(manifest);
  await using destination = await DockerReference.of(withSelector(name, { digest })).openDestination(context);
  const put = async (descriptor: Descriptor, bytes: Uint8Array, isConfig: boolean) => {
    const options = { isConfig };
    if (await destination.tryReuseBlob(descriptor, options)) return;
    const stream = Readable.from([Buffer.from(bytes)]);
    await destination.putBlob({ stream, sizeBytes: bytes.length }, descriptor, options);
  };
  await put(empty, config, true);
  await put(layer, bundle.bytes, false);
  await destination.putManifest(manifest, MEDIA_TYPE.ociManifest);
  await destination.commit(context.signal ? { signal: context.signal } : {});
  return digest;
}
