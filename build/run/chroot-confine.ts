import { isSystemError } from '../../errors.ts';
import {
  PR,
  processControl,
  rawSyscall,
  SYSCALL,
  setCapabilities,
  setThreadGroup,
  setThreadGroups,
  setThreadUser,
} from '../../store/kernel/index.ts';
import { loadKoffi, systemError } from '../../store/kernel/libc.ts';
import { CAPABILITY_COUNT, capabilityBits } from './capabilities.ts';
import type { SpecProcess } from './runtime-spec.ts';

const JOIN_SESSION_KEYRING = 1;
const CLOSE_RANGE_CLOEXEC = 4;
const CLEAR_AMBIENT = 4;
const SECCOMP_SET_MODE_FILTER = 1;

export interface Confinement {
  readonly process: SpecProcess;
  /** From {@link prepareFilter}; absent: no filter. */
  readonly installFilter?: () => void;
  /** False where the user namespace forbids setgroups(2). */
  readonly maySetGroups: boolean;
}

/**
 * Takes everything from the calling thread that the command must not have: descriptors above 2, the session keyring,
 * groups, ids, capabilities, system calls. Children of the thread inherit the result; other threads stay as they are.
 */
export function confine({ process, installFilter, maySetGroups }: Confinement): void {
  rawSyscall('closeRange', 3, 0x7fff_ffff, CLOSE_RANGE_CLOEXEC);
  rawSyscall('keyctl', JOIN_SESSION_KEYRING, null);
  dropBounding(capabilityBits(process.capabilities.bounding));
  if (maySetGroups) setThreadGroups(process.user.additionalGids);
  setThreadGroup(process.user.gid);
  // Without no_new_privs a filter needs CAP_SYS_ADMIN, which goes with the next lines.
  if (!process.noNewPrivileges) installFilter?.();
  setThreadUser(process.user.uid);
  processControl(PR.capAmbient, CLEAR_AMBIENT);
  setCapabilities(
    capabilityBits(process.capabilities.effective),
    capabilityBits(process.capabilities.permitted),
    0n,
  );
  if (process.noNewPrivileges) processControl(PR.setNoNewPrivs, 1);
  if (process.noNewPrivileges) installFilter?.();
}

function dropBounding(keep: bigint): void {
  for (let number = 0; number < Math.max(CAPABILITY_COUNT, 64); number += 1) {
    if ((keep >> BigInt(number)) & 1n) continue;
    try {
      if (processControl(PR.capbsetRead, number) === 1) processControl(PR.capbsetDrop, number);
    } catch (error) {
      // The kernel knows no capability of this number, nor of a higher one.
      if (isSystemError(error, 'EINVAL')) return;
      throw error;
    }
  }
}

/**
 * Makes seccomp(2) with a filter callable for the thread that will call it. To be done while the library can still be
 * loaded, before the root changes. The kernel copies the program.
 */
export function prepareFilter(program: Uint8Array, flagNames: readonly string[] | undefined): () => void {
  const koffi = loadKoffi();
  koffi.struct('sock_fprog', { len: 'uint16_t', filter: 'void *' });
  const call = koffi
    .load(null)
    .func('long syscall(long number, unsigned int operation, unsigned int flags, _In_ sock_fprog *program)');
  const number = SYSCALL.seccomp[globalThis.process.arch === 'x64' ? 'x64' : 'generic'];
  const flags = seccompFlags(flagNames);
  return () => {
    const result = call(number, SECCOMP_SET_MODE_FILTER, flags, { len: program.length / 8, filter: program });
    if (result !== 0) throw systemError(koffi.errno(), 'seccomp');
  };
}

const FILTER_FLAGS: Readonly<Record<string, number>> = {
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
  // The calling thread is the only one that matters: it starts the command.
  SECCOMP_FILTER_FLAG_TSYNC: 0,
};

/** Flags of seccomp(2) by their names. */
function seccompFlags(names: readonly string[] | undefined): number {
  return (names ?? []).reduce((flags, name) => flags | (FILTER_FLAGS[name] ?? 0), 0);
}
