export { applyLayer } from './apply.ts';
export type * from './contract.ts';
export { packLayer } from './pack.ts';
export { removeTree } from './remove-tree.ts';
export { assembleLayer } from './tar-split.ts';
export { type ZstdChunkedLayer, zstdChunked } from './zstd-chunked.ts';
