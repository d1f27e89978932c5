import { CONTAINERS_DEFAULTS } from '../../config/containers-defaults.ts';
import { BuildError } from '../error.ts';

/** Names in the order of their numbers (linux/capability.h), without `CAP_`. */
export const CAPABILITY_NAMES: readonly string[] = (
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE ' +
  'NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT ' +
  'SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP ' +
  'MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE'
)
  .split(' ')
  .map((name) => `CAP_${name}`);

export interface CapabilityChoice {
  /** Absent: those of containers.conf's built-in defaults. */
  readonly defaults?: readonly string[];
  readonly add: readonly string[];
  readonly drop: readonly string[];
  /** Bit set of what this process could hand on; what lies outside cannot be granted and is left out. */
  readonly available: bigint;
}

/**
 * The capabilities of a RUN, `CAP_` names in the order of their numbers. `--cap-drop all` wins over every addition,
 * as in Buildah.
 * @throws BuildError `bad-option` for an unknown name
 */
export function chooseCapabilities(choice: CapabilityChoice): string[] {
  const add = choice.add.map(normalise);
  const drop = choice.drop.map(normalise);
  if (drop.includes('ALL')) return [];
  const chosen = new Set(
    (choice.defaults ?? CONTAINERS_DEFAULTS.containers.default_capabilities).map(normalise),
  );
  for (const name of add.includes('ALL') ? CAPABILITY_NAMES : add) chosen.add(name);
  for (const name of drop) chosen.delete(name);
  return CAPABILITY_NAMES.filter(
    (name, number) => chosen.has(name) && (choice.available >> BigInt(number)) & 1n,
  );
}

/** `net_raw`, `NET_RAW` and `CAP_NET_RAW` are the same. */
function normalise(given: string): string {
  const upper = given.toUpperCase();
  if (upper === 'ALL') return upper;
  const name = upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
  if (!CAPABILITY_NAMES.includes(name)) throw new BuildError('bad-option', `unknown capability "${given}"`);
  return name;
}

/** Names as a bit set for capset(2). */
export function capabilityBits(names: readonly string[]): bigint {
  return names.reduce((bits, name) => bits | (1n << BigInt(CAPABILITY_NAMES.indexOf(name))), 0n);
}

/** How many capabilities this table knows; the kernel may know fewer. */
export const CAPABILITY_COUNT: number = CAPABILITY_NAMES.length;

/** The `Cap…` line of /proc/<pid>/status as a bit set. */
export function capabilitySet(status: string, line: 'CapBnd' | 'CapEff' | 'CapPrm'): bigint {
  const value = new RegExp(`^${line}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1];
  return value === undefined ? 0n : BigInt(`0x${value}`);
}
