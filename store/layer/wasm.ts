/** A WebAssembly memory that threads share. */
export interface SharedMemory {
  readonly buffer: SharedArrayBuffer;
}

/** The part of the WebAssembly API that is used here; neither the language's nor Node's type library declares it. */
interface WebAssemblyApi {
  readonly Memory: new (limits: { initial: number; maximum: number; shared: true }) => SharedMemory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: Record<string, Record<string, unknown>>,
  ) => { readonly exports: Record<string, unknown> };
}

const api = (globalThis as unknown as { readonly WebAssembly: WebAssemblyApi }).WebAssembly;

/** @param pages of 64 KiB */
export function sharedMemory(pages: number): SharedMemory {
  return new api.Memory({ initial: pages, maximum: pages, shared: true });
}

/** Compiles and starts a module that imports the memory as `m.m`. Gives its exports. */
export function startModule(bytes: Uint8Array, memory: SharedMemory): Record<string, unknown> {
  return new api.Instance(new api.Module(bytes), { m: { m: memory } }).exports;
}
