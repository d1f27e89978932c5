import { libcFunction, systemError } from '../../store/kernel/libc.ts';
import { RLIMITS } from './limits.ts';

const nativeSetrlimit = libcFunction('setrlimit', 'int', ['int', 'void*']);
const EPERM = 1;

/** setrlimit(2) for this process and all it becomes; values are decimal text. */
export function setLimits(
  limits: readonly { readonly type: string; readonly soft: string; readonly hard: string }[],
): void {
  for (const { type, soft, hard } of limits) {
    const value = Buffer.alloc(16);
    value.writeBigUInt64LE(BigInt(soft), 0);
    value.writeBigUInt64LE(BigInt(hard), 8);
    if (nativeSetrlimit(RLIMITS[type]?.number ?? -1, value) !== 0)
      throw systemError(EPERM, `setrlimit ${type}`);
  }
}
