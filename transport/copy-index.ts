import type { ImageIndex, ManifestDocument } from '../image/manifest.ts';
import type { CopiedImage } from './copy-image.ts';
import type { CopySession } from './copy-session.ts';
import { TransportError } from './error.ts';

export async function copyIndex(
  _session: CopySession,
  _topLevel: ManifestDocument,
  _index: ImageIndex,
): Promise<{ image: CopiedImage; images: number }> {
  throw new TransportError('unsupported', 'pending');
}
