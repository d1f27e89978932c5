import type { Descriptor } from '../image/descriptor.ts';
import type { Schema1Manifest } from '../image/manifest.ts';
import { MEDIA_TYPE } from '../image/media-type.ts';
import { schema1Layers } from '../image/schema1.ts';

/** The layers of a schema 1 image, base first, the empty ones too: it says neither their sizes nor their types. */
export function schema1SourceLayers(manifest: Schema1Manifest): readonly Descriptor[] {
  return schema1Layers(manifest).map(({ digest }) => ({
    mediaType: MEDIA_TYPE.dockerLayerGzip,
    digest,
    size: -1,
  }));
}
