import type { FlagSpec } from '../../cli/contract.ts';

/** Flags that stand before or behind every command of buildah. */
export const GLOBAL_FLAGS: readonly FlagSpec[] = [
  { name: 'cgroup-manager', kind: 'string', usage: 'make cgroups with `systemd` or cgroupfs' },
  { name: 'debug', kind: 'bool', usage: 'print what is being done', hidden: true },
  { name: 'default-mounts-file', kind: 'string', usage: 'path of the default mounts file', hidden: true },
  { name: 'imagestore', kind: 'string', usage: 'keep images in this directory instead of the root' },
  {
    name: 'log-level',
    kind: 'string',
    default: 'warn',
    usage: 'print messages of this `LEVEL` and above: trace, debug, info, warn, error, fatal or panic',
  },
  { name: 'registries-conf', kind: 'string', usage: 'read registries.conf from this `PATH`' },
  { name: 'registries-conf-dir', kind: 'string', usage: 'read registries.conf.d from this `PATH`' },
  { name: 'root', kind: 'string', usage: 'directory of the local storage' },
  {
    name: 'runroot',
    kind: 'string',
    usage: 'directory of the local storage for state that a reboot may lose',
  },
  { name: 'short-name-alias-conf', kind: 'string', usage: 'file in which chosen short names are remembered' },
  { name: 'storage-driver', kind: 'string', usage: 'storage driver: overlay or vfs' },
  { name: 'storage-opt', kind: 'slice', usage: 'an option of the storage driver' },
  { name: 'transient-store', kind: 'bool', usage: 'keep records of containers where a reboot removes them' },
  {
    name: 'userns-uid-map',
    kind: 'slice',
    usage: 'default mapping of user ids in containers, `CONTAINER:HOST:LENGTH`',
  },
  {
    name: 'userns-gid-map',
    kind: 'slice',
    usage: 'default mapping of group ids in containers, `CONTAINER:HOST:LENGTH`',
  },
  { name: 'cpu-profile', kind: 'string', usage: 'write a CPU profile to this file', hidden: true },
  { name: 'memory-profile', kind: 'string', usage: 'write a memory profile to this file', hidden: true },
];
