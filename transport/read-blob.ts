import { pipeline } from 'node:stream/promises';
import type { Descriptor } from '../image/descriptor.ts';
import { MANIFEST_LIMIT_BYTES } from '../image/json.ts';
import { BlobMeter, expectedOf } from '../store/blob/verify.ts';
import type { ImageSource } from './contract.ts';
import { TransportError } from './error.ts';
import { formatImageReference } from './references.ts';

/**
 * A whole small blob, such as a config, verified against its descriptor; embedded `data` is used where it matches.
 * @throws StoreError `digest-mismatch`, `truncated`, `too-large`; TransportError `size-mismatch` over `limitBytes`
 * (default 4 MiB)
 */
export async function readVerifiedBlob(
  source: ImageSource,
  descriptor: Descriptor,
  options: { readonly limitBytes?: number; readonly signal?: AbortSignal } = {},
): Promise<Uint8Array> {
  const { limitBytes = MANIFEST_LIMIT_BYTES, signal } = options;
  const where = `blob ${descriptor.digest} of ${formatImageReference(source.reference)}`;
  if (descriptor.size > limitBytes)
    throw new TransportError(
      'size-mismatch',
      `${where}: exceeded maximum allowed size of ${limitBytes} bytes`,
    );
  const { stream } = await source.getBlob(descriptor, signal ? { signal } : {});
  const verify = new BlobMeter(expectedOf(descriptor, where));
  const chunks: Buffer[] = [];
  let size = 0;
  await pipeline(
    stream,
    verify,
    async (bytes: AsyncIterable<Buffer>) => {
      for await (const chunk of bytes) {
        size += chunk.length;
        if (size > limitBytes)
          throw new TransportError(
            'size-mismatch',
            `${where}: exceeded maximum allowed size of ${limitBytes} bytes`,
          );
        chunks.push(chunk);
      }
    },
    { signal },
  );
  return Buffer.concat(chunks);
}
