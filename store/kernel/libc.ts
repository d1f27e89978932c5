import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import { setSha256 } from '../../image/digest.ts';
import { StoreError } from '../error.ts';
import { type Sha256, sha256Maker } from './sha256.ts';

/** A path as bytes, or as text that is written in UTF-8. File names on Linux need not be valid UTF-8. */
export type PathLike = string | Uint8Array;

/** What a C function of {@link libcFunction} takes: integers, memory, a null pointer, or texts for a `const char **`. */
export type Argument = number | bigint | Uint8Array | null | readonly (string | null)[];
type Native = (...values: Argument[]) => number;

/** A function of C as koffi calls it: here, or with `async` on a thread of libuv's pool. */
export interface NativeFunction {
  (...values: unknown[]): number;
  /** @param values the arguments, then a callback of `(error, result)` */
  async(...values: unknown[]): void;
}

export interface NativeLibrary {
  func(name: string, result: string, parameters: string[]): NativeFunction;
  func(declaration: string): NativeFunction;
}

/** The part of koffi that is used here; see https://koffi.dev. */
export interface Koffi {
  /** @param path null: what the process has loaded already, the C library among it. @throws Error where there is none */
  load(path: string | null): NativeLibrary;
  struct(name: string, members: Record<string, string>): unknown;
  errno(): number;
}

let koffi: Koffi | undefined;
let library: NativeLibrary | undefined;

/**
 * koffi, loaded when first asked for. Its JavaScript takes 20 ms to find out which of its libraries fits this machine,
 * longer than many a command runs, so that the one that is most likely is tried first.
 * @throws StoreError `unsupported` on other systems than Linux
 */
export function loadKoffi(): Koffi {
  if (koffi) return koffi;
  if (process.platform !== 'linux') {
    throw new StoreError('unsupported', `system calls of Linux are not available on ${process.platform}`, {
      hint: 'Local image storage and working containers need Linux; registries, layouts and archives work here.',
    });
  }
  const require = createRequire(import.meta.url);
  const target = `linux_${process.arch}`;
  try {
    koffi = require(`@koromix/koffi-linux-${process.arch}/${target}/koffi.node`) as Koffi;
  } catch {
    // Another C library, or koffi installed in another way.
    koffi = require('koffi') as Koffi;
  }
  return koffi;
}

function load(): NativeLibrary {
  if (library) return library;
  library = loadKoffi().load(null);
  setSha256((bytes) => {
    const hash = startSha256();
    hash.update(bytes);
    return hash.digest();
  });
  return library;
}

let makeSha256: (() => Sha256) | undefined;

/** A running SHA-256 that needs no node:crypto where there is another way. */
export function startSha256(): Sha256 {
  makeSha256 ??= sha256Maker(load());
  return makeSha256();
}

/**
 * Binds a function of the C library on its first call. Pointers are declared `void*` and take buffers: the kernel
 * sees their memory directly. Variadic functions are declared with the arguments they are called with, which the
 * calling conventions of x86-64 and arm64 on Linux allow.
 */
export function libcFunction(name: string, result: string, parameters: readonly string[]): Native {
  let native: Native | undefined;
  return (...values) => {
    native ??= load().func(name, result, [...parameters]);
    return native(...values);
  };
}

/** `errno` of the last call of this thread. */
export function lastErrno(): number {
  return koffi ? koffi.errno() : 0;
}

/** The path as bytes that end in NUL. @throws StoreError `unsafe-path` for a NUL inside. */
export function cString(path: PathLike): Buffer {
  const length = typeof path === 'string' ? Buffer.byteLength(path) : path.length;
  // From the pool, since every byte is written: memory of its own for each call costs more than most calls.
  const bytes = Buffer.allocUnsafe(length + 1);
  if (typeof path === 'string') bytes.write(path, 0, length);
  else bytes.set(path);
  bytes[length] = 0;
  if (bytes.indexOf(0) !== length) {
    throw new StoreError('unsafe-path', `a NUL byte in the path ${JSON.stringify(showPath(path))}`);
  }
  return bytes;
}

/** A path for messages: control characters and bytes that are not UTF-8 do not come through raw. */
export function showPath(path: PathLike): string {
  const text = typeof path === 'string' ? path : Buffer.from(path).toString('utf8');
  return text.replace(/[\u0000-\u001f\u007f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

let names: Map<number, string> | undefined;

/** The name of an errno, such as `ENOENT`. */
export function errnoName(errno: number): string {
  // Names of the others are in node:os, which takes long to load.
  const common = getSystemErrorMap().get(-errno)?.[0];
  if (common !== undefined) return common;
  if (!names) {
    names = new Map();
    for (const [name, value] of Object.entries(constants.errno))
      if (!names.has(value)) names.set(value, name);
  }
  return names.get(errno) ?? `E${errno}`;
}

/** An error as Node's own file calls throw it: `code`, `errno` (negative), `syscall`, `path` and a one-line message. */
export function systemError(errno: number, syscall: string, path?: PathLike): NodeJS.ErrnoException {
  const code = errnoName(errno);
  const what = getSystemErrorMap().get(-errno)?.[1] ?? 'system error';
  const shown = path === undefined ? undefined : showPath(path);
  const error: NodeJS.ErrnoException = new Error(
    `${code}: ${what}, ${syscall}${shown === undefined ? '' : ` '${shown}'`}`,
  );
  error.code = code;
  error.errno = -errno;
  error.syscall = syscall;
  if (shown !== undefined) error.path = shown;
  return error;
}

/** The result of a call that says -1 for failure. @throws a system error made from errno */
export function checked(result: number, syscall: string, path?: PathLike): number {
  if (result === -1) throw systemError(lastErrno(), syscall, path);
  return result;
}
