import type { Descriptor } from '../image/descriptor.ts';
import { MANIFEST_LIMIT_BYTES } from '../image/json.ts';
import { expectedOf, verifyBytes } from '../store/blob/verify.ts';
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
  const tooLarge = () =>
    new TransportError('size-mismatch', `${where}: exceeded maximum allowed size of ${limitBytes} bytes`);
  if (descriptor.size > limitBytes) throw tooLarge();
  const { stream } = await source.getBlob(descriptor, signal ? { signal } : {});
  const expected = expectedOf(descriptor, where);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    signal?.throwIfAborted();
    chunks.push(chunk);
    size += chunk.length;
    if (size > limitBytes) throw tooLarge();
    if (size > (expected.sizeBytes ?? limitBytes)) break;
  }
  const bytes = Buffer.concat(chunks);
  verifyBytes(bytes, expected);
  return bytes;
}
