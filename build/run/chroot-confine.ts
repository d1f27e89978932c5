import { isSystemError } from '../../errors.ts';
import {
  PR,
  processControl,
  rawSyscall,
  setCapabilities,
  setThreadGroup,
  setThreadGroups,
  setThreadUser,
} from '../../store/kernel/index.ts';
import { systemError } from '../../store/kernel/libc.ts';
import { CAPABILITY_COUNT, capabilityBits } from './capabilities.ts';
import type { SpecProcess } from './runtime-spec.ts';

const JOIN_SESSION_KEYRING = 1;
const CLOSE_RANGE_CLOEXEC = 4;
const CLEAR_AMBIENT = 4;
const SECCOMP_SET_MODE_FILTER = 1;

export interface Confinement {
  readonly process: SpecProcess;
  /** A BPF program for seccomp(2); absent: no filter. */
  readonly filter?: Uint8Array;
  /** False where the user namespace forbids setgroups(2). */
  readonly maySetGroups: boolean;
}

/**
 * Takes everything from the calling thread that the command must not have: descriptors above 2, the session keyring,
 * groups, ids, capabilities, system calls. Children of the thread inherit the result; other threads stay as they are.
 */
export function confine({ process, filter, maySetGroups }: Confinement): void {
  rawSyscall('closeRange', 3, 0x7fff_ffff, CLOSE_RANGE_CLOEXEC);
  rawSyscall('keyctl', JOIN_SESSION_KEYRING, null);
  dropBounding(capabilityBits(process.capabilities.bounding));
  if (maySetGroups) setThreadGroups(process.user.additionalGids);
  setThreadGroup(process.user.gid);
  // Without no_new_privs a filter needs CAP_SYS_ADMIN, which goes with the next lines.
  if (filter && !process.noNewPrivileges) installFilter(filter);
  setThreadUser(process.user.uid);
  processControl(PR.capAmbient, CLEAR_AMBIENT);
  setCapabilities(
    capabilityBits(process.capabilities.effective),
    capabilityBits(process.capabilities.permitted),
    0n,
  );
  if (process.noNewPrivileges) processControl(PR.setNoNewPrivs, 1);
  if (filter && process.noNewPrivileges) installFilter(filter);
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

/** seccomp(2) with a filter; the struct sock_fprog points to the program, which must outlive the call. */
function installFilter(program: Uint8Array): void {
  const result = rawSyscall('seccomp', SECCOMP_SET_MODE_FILTER, 0, program);
  if (result < 0) throw systemError(-result, 'seccomp');
}
