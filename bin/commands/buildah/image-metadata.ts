/** The document of `--metadata-file`, as Buildah 1.44 writes it: keys in order, the descriptor as an object. */
export function imageMetadata(result: {
  readonly imageId: string;
  readonly mediaType?: string;
  readonly digest?: string;
  readonly manifest?: Uint8Array;
}): Record<string, unknown> {
  return {
    'containerimage.config.digest': `sha256:${result.imageId}`,
    'containerimage.descriptor': {
      mediaType: result.mediaType,
      digest: result.digest,
      size: result.manifest?.length ?? 0,
    },
    'containerimage.digest': result.digest,
  };
}
