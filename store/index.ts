export type * from './blob/contract.ts';
export { StoreError, type StoreErrorCode } from './error.ts';
export type * from './layer/contract.ts';
export type * from './storage/contract.ts';
export { layerIdOf } from './storage/layer-id.ts';
export { openStore, type StoreOptions } from './storage/open.ts';
