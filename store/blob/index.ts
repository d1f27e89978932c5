export { type CompressOptions, compressStream } from './compress.ts';
export {
  decompressed,
  detectAndDecompress,
  detectCompression,
  type KnownCompression,
  peekCompression,
} from './compression.ts';
export type * from './contract.ts';
export { BlobDirectory, type ByteRange } from './directory.ts';
export { type GzipOptions, GzipStream } from './gzip.ts';
export { joined, limited, readAll } from './limit.ts';
export { type PublishOptions, publishFile, syncDirectory } from './publish.ts';
export { type BlobClaim, BlobMeter, type ExpectedBlob, expectedOf, verified, verifyBytes } from './verify.ts';
export { ZstdDecompressor } from './zstd.ts';
