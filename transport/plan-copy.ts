import type { Descriptor } from '../image/descriptor.ts';
import type { Digest } from '../image/digest.ts';
import type { CopySession } from './copy-session.ts';
import { type ImagePlan, planImage } from './plan.ts';

/** What is known of an image before its bytes move. */
export interface PlannedImage {
  readonly mediaType: string;
  /** As the source gives them, base first. */
  readonly layers: readonly Descriptor[];
  /** By position; undefined where the config does not tell them, or was not read. */
  readonly diffIds?: readonly Digest[];
  /** Why the manifest must stay as it is; undefined: it may change. */
  readonly frozen: string | undefined;
}

/** The plan for one image of a copy, after what the copy's options ask for. @throws TransportError as {@link planImage} */
export function planCopy({ destination, options }: CopySession, image: PlannedImage): ImagePlan {
  const { mediaType, layers, diffIds, frozen } = image;
  return planImage({
    mediaType,
    layers,
    ...(diffIds ? { diffIds } : {}),
    destination,
    ...(frozen === undefined ? {} : { frozen }),
    signing: (options.signers?.length ?? 0) > 0,
    ...(options.format ? { format: options.format } : {}),
    ...(options.compression ? { compression: options.compression } : {}),
    ...(options.compressionLevel === undefined ? {} : { compressionLevel: options.compressionLevel }),
    ...(options.forceCompression ? { forceCompression: true } : {}),
    ...(options.encryptLayers ? { encryptLayers: options.encryptLayers } : {}),
    decrypt: options.decryptor !== undefined,
    ...(options.downloadForeignLayers ? { downloadForeignLayers: true } : {}),
  });
}
