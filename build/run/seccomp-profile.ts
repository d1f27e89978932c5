import { existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { BuildError } from '../error.ts';
import type { SpecSeccomp, SpecSyscallRule } from './runtime-spec.ts';

/** A profile file as containers/common and Docker read it: the runtime's form, with conditions by capability and machine. */
interface ProfileFile extends SpecSeccomp {
  readonly archMap?: readonly {
    readonly architecture: string;
    readonly subArchitectures?: readonly string[];
  }[];
  readonly syscalls?: readonly (SpecSyscallRule & {
    readonly name?: string;
    readonly includes?: Conditions;
    readonly excludes?: Conditions;
  })[];
}
interface Conditions {
  readonly caps?: readonly string[];
  readonly arches?: readonly string[];
  readonly minKernel?: string;
}

/** Where the administrator's and the distribution's profiles are. */
const SYSTEM_PROFILES = ['/etc/containers/seccomp.json', '/usr/share/containers/seccomp.json'];
const SIZE_LIMIT_BYTES = 4 * 1024 * 1024;

const ARCHITECTURES: Readonly<Record<string, { readonly scmp: string; readonly go: string }>> = {
  x64: { scmp: 'SCMP_ARCH_X86_64', go: 'amd64' },
  arm64: { scmp: 'SCMP_ARCH_AARCH64', go: 'arm64' },
  arm: { scmp: 'SCMP_ARCH_ARM', go: 'arm' },
  ia32: { scmp: 'SCMP_ARCH_X86', go: 'x86' },
  ppc64: { scmp: 'SCMP_ARCH_PPC64LE', go: 'ppc64le' },
  s390x: { scmp: 'SCMP_ARCH_S390X', go: 's390x' },
  riscv64: { scmp: 'SCMP_ARCH_RISCV64', go: 'riscv64' },
};

/**
 * The seccomp filter of a RUN in the runtime's form.
 * @param option path of a profile or `unconfined`; absent: the system's file, else the built-in profile
 * @param capabilities the names that the command's bounding set has; rules depend on them
 * @returns undefined for `unconfined`
 * @throws BuildError `bad-option` for a file that is missing or no profile
 */
export async function loadSeccomp(
  option: string | undefined,
  capabilities: readonly string[],
): Promise<SpecSeccomp | undefined> {
  if (option === 'unconfined') return undefined;
  const path = option ?? SYSTEM_PROFILES.find((candidate) => existsSync(candidate));
  if (path === undefined) {
    const { BUILT_IN_PROFILE } = await import('./seccomp-default.ts');
    return resolveProfile(BUILT_IN_PROFILE, capabilities);
  }
  return resolveProfile(readProfile(path), capabilities);
}

function readProfile(path: string): ProfileFile {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new BuildError('bad-option', `opening seccomp profile failed: ${path} cannot be read`, { cause });
  }
  if (text.length > SIZE_LIMIT_BYTES)
    throw new BuildError('bad-option', `the seccomp profile ${path} is too large`);
  try {
    const value: unknown = JSON.parse(text);
    if (isProfile(value)) return value;
  } catch (cause) {
    throw new BuildError('bad-option', `loading seccomp profile (${path}) failed: it is not JSON`, { cause });
  }
  throw new BuildError('bad-option', `loading seccomp profile (${path}) failed: it has no default action`);
}

function isProfile(value: unknown): value is ProfileFile {
  if (typeof value !== 'object' || value === null) return false;
  const { defaultAction, syscalls } = value as Partial<ProfileFile>;
  return typeof defaultAction === 'string' && (syscalls == null || Array.isArray(syscalls));
}

/** Picks the rules that hold for these capabilities, this machine and its kernel. */
export function resolveProfile(profile: ProfileFile, capabilities: readonly string[]): SpecSeccomp {
  const machine = ARCHITECTURES[process.arch];
  const mapped = profile.archMap?.find((entry) => entry.architecture === machine?.scmp);
  const architectures = mapped
    ? [mapped.architecture, ...(mapped.subArchitectures ?? [])]
    : profile.architectures;
  const holds = (conditions: Conditions | undefined) => matches(conditions, capabilities, machine?.go ?? '');
  const syscalls = (profile.syscalls ?? [])
    .filter((rule) => !rule.includes || isEmpty(rule.includes) || holds(rule.includes) === 'all')
    .filter((rule) => !rule.excludes || isEmpty(rule.excludes) || holds(rule.excludes) === 'none')
    .map((rule) => ({
      names: rule.names ?? (rule.name ? [rule.name] : []),
      action: rule.action,
      ...(rule.errnoRet === undefined ? {} : { errnoRet: rule.errnoRet }),
      ...(rule.args && rule.args.length > 0 ? { args: rule.args } : {}),
    }));
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    ...(architectures ? { architectures } : {}),
    ...(profile.flags ? { flags: profile.flags } : {}),
    syscalls,
  };
}

function isEmpty(conditions: Conditions): boolean {
  return !conditions.caps?.length && !conditions.arches?.length && !conditions.minKernel;
}

/** Whether all of the conditions hold, some, or none. */
function matches(
  conditions: Conditions | undefined,
  capabilities: readonly string[],
  arch: string,
): 'all' | 'some' | 'none' {
  if (!conditions) return 'none';
  const results: boolean[] = [];
  if (conditions.arches?.length) results.push(conditions.arches.includes(arch));
  for (const name of conditions.caps ?? []) results.push(capabilities.includes(name));
  if (conditions.minKernel) results.push(kernelAtLeast(conditions.minKernel));
  if (results.every((result) => result)) return 'all';
  return results.some((result) => result) ? 'some' : 'none';
}

function kernelAtLeast(wanted: string): boolean {
  const [major = 0, minor = 0] = release()
    .split('.')
    .map((part) => Number.parseInt(part, 10));
  const [wantedMajor = 0, wantedMinor = 0] = wanted.split('.').map(Number);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}
