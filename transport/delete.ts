import { type ImageReference, isDeletable, type TransportContext } from './contract.ts';
import { TransportError } from './error.ts';

/**
 * Removes an image from where it is, as the transport understands it.
 * @throws TransportError `unsupported` where images cannot be removed, `not-found`
 */
export async function deleteImage(reference: ImageReference, context: TransportContext): Promise<void> {
  if (!isDeletable(reference))
    throw new TransportError(
      'unsupported',
      `Deleting images not implemented for ${reference.transport}: images`,
    );
  await reference.deleteImage(context);
}
