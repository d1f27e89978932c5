import type { SpecSyscallRule } from './runtime-spec.ts';
import { syscallNames } from './seccomp-syscalls.ts';

/**
 * The profile for hosts without one of their own. Everything that the kernel documents for programs is allowed except
 * what Docker's and Podman's documentation name as dangerous: calls that load code into the kernel, that act on the
 * host's clock, swap, accounting or devices, that the kernel keeps for compatibility alone, and the keyring and
 * io_uring, which know no namespaces well enough. Calls newer than our tables fail as on an older kernel.
 */
const FORBIDDEN = new Set(
  (
    '_sysctl add_key afs_syscall bdflush create_module get_kernel_syms io_uring_enter io_uring_register ' +
    'io_uring_setup kexec_file_load kexec_load keyctl lock mpx nfsservctl personality prof profil query_module ' +
    'quotactl_fd request_key security sgetmask ssetmask swapoff swapon sysfs tuxcall uselib userfaultfd ustat vm86 ' +
    'vm86old vmsplice vserver'
  ).split(' '),
);

/** Calls that a capability allows again. */
const BY_CAPABILITY: Readonly<Record<string, string>> = {
  CAP_DAC_READ_SEARCH: 'open_by_handle_at',
  CAP_SYS_ADMIN: 'bpf fanotify_init lookup_dcookie perf_event_open quotactl setdomainname sethostname setns',
  CAP_SYS_BOOT: 'reboot',
  CAP_SYS_CHROOT: 'chroot',
  CAP_SYS_MODULE: 'delete_module finit_module init_module',
  CAP_SYS_PACCT: 'acct',
  CAP_SYS_PTRACE: 'kcmp process_madvise',
  CAP_SYS_RAWIO: 'ioperm iopl',
  CAP_SYS_TIME: 'clock_settime clock_settime64 settimeofday stime',
  CAP_SYS_TTY_CONFIG: 'vhangup',
};

/** Execution domains that programs may choose: Linux, its 32-bit and old-uname variants, and asking which it is. */
const PERSONALITIES = [0, 8, 0x20000, 0x20008, 0xffff_ffff];
const ENOSYS = 38;
const EPERM = 1;
const ALLOW = 'SCMP_ACT_ALLOW';

function allowedNames(): string[] {
  const conditional = new Set(Object.values(BY_CAPABILITY).flatMap((names) => names.split(' ')));
  const all = new Set(
    (['x64', 'ia32', 'arm64'] as const).flatMap((table) =>
      syscallNames(table).filter((name) => name !== undefined),
    ),
  );
  return [...all].filter((name) => !FORBIDDEN.has(name) && !conditional.has(name)).sort();
}

const byCapability = Object.entries(BY_CAPABILITY).flatMap(([capability, text]) => {
  const names = text.split(' ');
  return [
    { names, action: ALLOW, includes: { caps: [capability] } },
    { names, action: 'SCMP_ACT_ERRNO', errnoRet: EPERM, excludes: { caps: [capability] } },
  ];
});
const personalities: SpecSyscallRule[] = PERSONALITIES.map((value) => ({
  names: ['personality'],
  action: ALLOW,
  args: [{ index: 0, value, op: 'SCMP_CMP_EQ' }],
}));

export const BUILT_IN_PROFILE = {
  defaultAction: 'SCMP_ACT_ERRNO',
  defaultErrnoRet: ENOSYS,
  archMap: [
    { architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86', 'SCMP_ARCH_X32'] },
    { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: ['SCMP_ARCH_ARM'] },
  ],
  syscalls: [{ names: allowedNames(), action: ALLOW }, ...personalities, ...byCapability],
};
