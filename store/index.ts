export * from './blob/index.ts';
export { StoreError, type StoreErrorCode } from './error.ts';
export * from './layer/index.ts';
export type * from './storage/contract.ts';
export { layerIdOf } from './storage/layer-id.ts';
export { openStore, type StoreOptions } from './storage/open.ts';
