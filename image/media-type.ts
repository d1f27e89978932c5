/** Media types of the OCI image-spec v1.1 and of Docker's distribution formats. */
export const MEDIA_TYPE = {
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociEmpty: 'application/vnd.oci.empty.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  ociForeignLayer: 'application/vnd.oci.image.layer.nondistributable.v1.tar',
  ociForeignLayerGzip: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  ociForeignLayerZstd: 'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerSchema1: 'application/vnd.docker.distribution.manifest.v1+json',
  dockerSchema1Signed: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  dockerLayerZstd: 'application/vnd.docker.image.rootfs.diff.tar.zstd',
  dockerForeignLayer: 'application/vnd.docker.image.rootfs.foreign.diff.tar',
  dockerForeignLayerGzip: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
} as const;

/** How the bytes of a layer are compressed. */
export type Compression = 'none' | 'gzip' | 'zstd';

/** The layer's compression by its media type alone; undefined for a type that says nothing about it. */
export function compressionOf(mediaType: string): Compression | undefined {
  const plain = mediaType.replace(/\+encrypted$/, '');
  if (/[.+]gzip$/.test(plain)) return 'gzip';
  if (/[.+]zstd$/.test(plain)) return 'zstd';
  if (/\.tar$/.test(plain)) return 'none';
  return undefined;
}

const LAYER_BASES = {
  oci: { layer: MEDIA_TYPE.ociLayer, foreign: MEDIA_TYPE.ociForeignLayer, separator: '+' },
  docker: { layer: MEDIA_TYPE.dockerLayer, foreign: MEDIA_TYPE.dockerForeignLayer, separator: '.' },
} as const;

/** The layer media type of a format for a compression; `foreign` asks for the non-distributable one. */
export function layerMediaType(format: 'oci' | 'docker', compression: Compression, foreign = false): string {
  const bases = LAYER_BASES[format];
  const base = foreign ? bases.foreign : bases.layer;
  return compression === 'none' ? base : `${base}${bases.separator}${compression}`;
}

export function isIndexMediaType(mediaType: string): boolean {
  return mediaType === MEDIA_TYPE.ociIndex || mediaType === MEDIA_TYPE.dockerList;
}

export function isSchema1MediaType(mediaType: string): boolean {
  return mediaType === MEDIA_TYPE.dockerSchema1 || mediaType === MEDIA_TYPE.dockerSchema1Signed;
}

export function isForeignLayer(mediaType: string): boolean {
  return mediaType.includes('.nondistributable.') || mediaType.includes('.foreign.');
}

/** True for the layer types of OCI and Docker images, whatever their compression or encryption. */
export function isLayerMediaType(mediaType: string): boolean {
  return /^application\/vnd\.(?:oci\.image\.layer\.(?:nondistributable\.)?v1|docker\.image\.rootfs\.(?:foreign\.)?diff)\.tar/.test(
    mediaType,
  );
}
