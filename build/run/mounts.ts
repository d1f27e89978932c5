import { posix } from 'node:path';
import { BuildError } from '../error.ts';
import type { RunMount } from './contract.ts';
import type { SpecMount, SpecNamespaceType } from './runtime-spec.ts';

/** Options of mount(8) that a mount of a RUN may carry without a value. Everything else is refused (SECURITY B02, I8). */
const FLAGS = new Set(
  (
    'ro rw suid nosuid dev nodev exec noexec bind rbind atime noatime diratime nodiratime relatime norelatime ' +
    'strictatime nostrictatime sync async private rprivate shared rshared slave rslave unbindable runbindable ' +
    'tmpcopyup copy nocopy newinstance defaults idmap ridmap userxattr volatile metacopy=on metacopy=off'
  ).split(' '),
);
/** Options with a value, and the types that know them. */
const VALUED: Readonly<Record<string, readonly RunMount['type'][]>> = {
  size: ['tmpfs'],
  nr_inodes: ['tmpfs'],
  nr_blocks: ['tmpfs'],
  huge: ['tmpfs'],
  mode: ['tmpfs', 'devpts'],
  uid: ['tmpfs', 'devpts'],
  gid: ['tmpfs', 'devpts'],
  ptmxmode: ['devpts'],
  lowerdir: ['overlay'],
  upperdir: ['overlay'],
  workdir: ['overlay'],
  redirect_dir: ['overlay'],
  index: ['overlay'],
  xino: ['overlay'],
  context: ['tmpfs', 'overlay', 'bind'],
};

/**
 * A caller's mount as the runtime spec writes it.
 * @throws BuildError `bad-mount` for an option that is not known for the type, or a destination that is not absolute
 */
export function checkMount(mount: RunMount): SpecMount {
  if (!mount.destination.startsWith('/') || mount.destination.includes('\0'))
    throw new BuildError('bad-mount', `the mount destination "${mount.destination}" is not an absolute path`);
  if (mount.type === 'bind' && !mount.source?.startsWith('/'))
    throw new BuildError('bad-mount', `the mount on "${mount.destination}" needs an absolute source`);
  for (const option of mount.options) checkOption(mount, option);
  const options = mount.options.filter((option) => option !== 'copy' && option !== 'nocopy');
  if (mount.type === 'bind' && !options.some((option) => option === 'bind' || option === 'rbind'))
    options.push('rbind');
  if (!options.some((option) => /^r?(private|shared|slave|unbindable)$/.test(option)))
    options.push(mount.type === 'bind' ? 'rprivate' : 'private');
  return {
    destination: posix.normalize(mount.destination),
    type: mount.type,
    source: mount.source ?? mount.type,
    options,
  };
}

function checkOption(mount: RunMount, option: string): void {
  if (FLAGS.has(option)) return;
  const equals = option.indexOf('=');
  const types = equals > 0 ? VALUED[option.slice(0, equals)] : undefined;
  if (types?.includes(mount.type) && !(mount.type !== 'overlay' && option.includes(','))) return;
  throw new BuildError(
    'bad-mount',
    `invalid mount option "${option}" for the mount on "${mount.destination}"`,
  );
}

export interface SystemMountSituation {
  readonly namespaces: ReadonlySet<SpecNamespaceType>;
  /** The network namespace is made with the user namespace, not joined: only then may sysfs be mounted afresh. */
  readonly ownsNetwork: boolean;
  /** In a user namespace that another program or our re-execution made. */
  readonly rootless: boolean;
  /** Group 5 (tty) exists in the user namespace. */
  readonly hasGroup5: boolean;
  readonly shmSizeBytes?: number;
}

/**
 * /proc, /dev, /sys and what belongs on them. Where the namespaces forbid a fresh mount, the host's is bound
 * instead, as Buildah does.
 */
export function systemMounts(situation: SystemMountSituation): SpecMount[] {
  const { namespaces, rootless } = situation;
  const inUserns = rootless || namespaces.has('user');
  const mounts: SpecMount[] = [
    inUserns && !namespaces.has('pid')
      ? bind('/proc', ['rbind', 'nosuid', 'noexec', 'nodev'])
      : fresh('/proc', 'proc', ['nosuid', 'noexec', 'nodev']),
    fresh('/dev', 'tmpfs', ['nosuid', 'strictatime', 'mode=755', 'size=65536k']),
    fresh('/dev/pts', 'devpts', [
      'nosuid',
      'noexec',
      'newinstance',
      'ptmxmode=0666',
      'mode=0620',
      ...(situation.hasGroup5 ? ['gid=5'] : []),
    ]),
  ];
  if (inUserns && !namespaces.has('ipc')) {
    mounts.push(bind('/dev/shm', ['rbind', 'nosuid', 'noexec', 'nodev']));
    mounts.push(bind('/dev/mqueue', ['bind', 'nosuid', 'noexec', 'nodev']));
  } else {
    const size = situation.shmSizeBytes ?? '65536k';
    const options = ['nosuid', 'noexec', 'nodev', 'mode=1777', `size=${size}`];
    mounts.push({ ...fresh('/dev/shm', 'tmpfs', options), source: 'shm' });
    mounts.push(fresh('/dev/mqueue', 'mqueue', ['nosuid', 'noexec', 'nodev']));
  }
  if (namespaces.has('user') ? !situation.ownsNetwork : rootless && !namespaces.has('network')) {
    mounts.push(bind('/sys', ['rprivate', 'nosuid', 'noexec', 'nodev', 'ro', 'rbind']));
  } else {
    mounts.push(fresh('/sys', 'sysfs', ['nosuid', 'noexec', 'nodev', 'ro']));
    if (!inUserns)
      mounts.push(
        fresh('/sys/fs/cgroup', 'cgroup', ['rprivate', 'nosuid', 'noexec', 'nodev', 'relatime', 'ro']),
      );
  }
  return mounts;
}

function fresh(destination: string, type: string, options: string[]): SpecMount {
  return { destination, type, source: type, options };
}

function bind(path: string, options: string[]): SpecMount {
  return { destination: path, type: 'bind', source: path, options };
}

/**
 * One list in the order of mounting: parents before children, and of several mounts on one destination only the
 * first given stays (callers' mounts before generated files before system mounts).
 */
export function orderMounts(mounts: readonly SpecMount[]): SpecMount[] {
  const seen = new Map<string, SpecMount>();
  for (const mount of mounts) {
    const destination = posix.normalize(mount.destination).replace(/(.)\/$/, '$1');
    if (!seen.has(destination)) seen.set(destination, { ...mount, destination });
  }
  const depth = (mount: SpecMount) => mount.destination.split('/').length;
  return [...seen.values()].sort((a, b) => depth(a) - depth(b));
}

/** Paths that a RUN sees empty, and those that it sees read-only (containers/common's defaults). */
export const MASKED_PATHS: readonly string[] = [
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
  '/sys/fs/selinux',
];
export const READ_ONLY_PATHS: readonly string[] = [
  '/proc/asound',
  '/proc/bus',
  '/proc/fs',
  '/proc/irq',
  '/proc/sys',
  '/proc/sysrq-trigger',
];
