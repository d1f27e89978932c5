import { existsSync, readFileSync } from 'node:fs';
import { capabilitySet } from './capabilities.ts';
import { readLimits } from './limits.ts';
import type { SpecIdMapping } from './runtime-spec.ts';

/** What this process may do on this host, read from /proc once for each RUN. */
export interface HostFacts {
  /** Capabilities that a child can be given. */
  readonly capabilities: bigint;
  /** Inside a user namespace other than the host's first one. */
  readonly rootless: boolean;
  readonly uidMap: readonly SpecIdMapping[];
  readonly gidMap: readonly SpecIdMapping[];
  readonly limitsText: string;
  readonly noNewPrivileges: boolean;
  /** The host has the unified hierarchy alone. */
  readonly cgroup2: boolean;
  /** SELinux decides about processes here. */
  readonly selinux?: boolean;
}

const WHOLE_RANGE = 4_294_967_295;
const SYS_RESOURCE = 24n;

export function readHostFacts(): HostFacts {
  const status = readFileSync('/proc/self/status', 'utf8');
  const uidMap = idMap('/proc/self/uid_map');
  return {
    capabilities: capabilitySet(status, 'CapPrm') & capabilitySet(status, 'CapBnd'),
    rootless: !(uidMap.length === 1 && uidMap[0]?.hostID === 0 && uidMap[0].size === WHOLE_RANGE),
    uidMap,
    gidMap: idMap('/proc/self/gid_map'),
    limitsText: readLimits(),
    noNewPrivileges: /^NoNewPrivs:\s*1$/m.test(status),
    cgroup2: existsSync('/sys/fs/cgroup/cgroup.controllers'),
    selinux: existsSync('/sys/fs/selinux/enforce'),
  };
}

/** True where hard limits may be raised: needs CAP_SYS_RESOURCE in the first user namespace. */
export function mayRaiseLimits(host: HostFacts): boolean {
  return !host.rootless && ((host.capabilities >> SYS_RESOURCE) & 1n) === 1n;
}

/** The lines of uid_map or gid_map: inside, outside, count. */
function idMap(path: string): SpecIdMapping[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [containerID = 0, hostID = 0, size = 0] = line.trim().split(/\s+/).map(Number);
      return { containerID, hostID, size };
    });
}
