import { libcFunction, systemError } from '../../store/kernel/libc.ts';
import { RLIMITS } from './limits.ts';

const native = libcFunction('prlimit', 'int', ['int', 'int', 'void*', 'void*']);
const EPERM = 1;
/** The calling process, for prlimit(2). */
const SELF = 0;

/** A resource limit with its 64-bit numbers as decimal text. */
export interface TextLimit {
  readonly type: string;
  readonly soft: string;
  readonly hard: string;
}

interface Limit {
  readonly soft: bigint;
  readonly hard: bigint;
}

/** prlimit(2) for this process and all it becomes. */
export function setLimits(limits: readonly TextLimit[]): void {
  for (const { type, soft, hard } of limits) setLimit(SELF, type, { soft: BigInt(soft), hard: BigInt(hard) });
}

/** Raises another process's hard limits to what it is going to set, which it may not do in a user namespace. */
export function raiseHardLimits(pid: number, limits: readonly TextLimit[]): void {
  for (const { type, hard } of limits) {
    const now = getLimit(pid, type);
    if (BigInt(hard) > now.hard) setLimit(pid, type, { soft: now.soft, hard: BigInt(hard) });
  }
}

function setLimit(pid: number, type: string, { soft, hard }: Limit): void {
  const value = Buffer.alloc(16);
  value.writeBigUInt64LE(soft, 0);
  value.writeBigUInt64LE(hard, 8);
  if (native(pid, numberOf(type), value, null) !== 0) throw systemError(EPERM, `setrlimit ${type}`);
}

function getLimit(pid: number, type: string): Limit {
  const value = Buffer.alloc(16);
  if (native(pid, numberOf(type), null, value) !== 0) throw systemError(EPERM, `getrlimit ${type}`);
  return { soft: value.readBigUInt64LE(0), hard: value.readBigUInt64LE(8) };
}

function numberOf(type: string): number {
  return RLIMITS[type]?.number ?? -1;
}
