import { existsSync } from 'node:fs';
import { isSystemError } from '../../errors.ts';
import {
  changeDirectory,
  changeRoot,
  closeDescriptor,
  MNT,
  MS,
  mknodAt,
  mount,
  OPEN,
  openAt,
  pivotRoot,
  S_IF,
  statDescriptor,
  symlinkAt,
  unmount,
} from '../../store/kernel/index.ts';
import { BuildError } from '../error.ts';
import { mountedOutside } from './chroot-user-namespace.ts';
import { parseOptions, restrictMount } from './mount-flags.ts';
import { ensureInRoot, openInRoot, openRoot, type RootHandle } from './rooted-path.ts';
import type { RuntimeSpec, SpecDevice, SpecMount } from './runtime-spec.ts';

const NODES = ['null', 'zero', 'full', 'random', 'urandom', 'tty'];
const LINKS: readonly (readonly [string, string])[] = [
  ['fd', '/proc/self/fd'],
  ['stdin', '/proc/self/fd/0'],
  ['stdout', '/proc/self/fd/1'],
  ['stderr', '/proc/self/fd/2'],
  ['ptmx', 'pts/ptmx'],
];
/** Binds that are what they are with all that is mounted on them. */
const OF_HOST = new Set(['/sys', '/sys/fs/cgroup']);
/** System mounts that a kernel or a namespace may refuse without harm to the command. */
const OPTIONAL = new Set(['mqueue']);

/** The path by which mount(2) reaches exactly what a descriptor stands for. */
export function descriptorPath(fd: number): string {
  return `/proc/self/fd/${fd}`;
}

/**
 * Binds the root file system onto itself in this thread's new mount namespace and gives a handle of that mount.
 * Nothing that happens below is seen outside; what is unmounted outside disappears here too.
 */
export function bindRoot(path: string): RootHandle {
  mount(undefined, '/', undefined, MS.rec | MS.slave);
  mount(path, path, undefined, MS.bind | MS.rec);
  return openRoot(path);
}

/**
 * Closes the device nodes that an image brings, since no cgroup watches over devices here, unless the command may make
 * its own. For a root on which nothing of the spec is mounted yet.
 */
export function closeNodes(root: RootHandle, { process }: RuntimeSpec): void {
  if (!process.capabilities.bounding.includes('CAP_MKNOD')) restrictMount(root.fd, MS.nodev, true);
}

/**
 * Mounts everything of the spec below the root except /proc, which needs a process of the new pid namespace and is
 * done by `mountProc` when its turn comes, while what else is fresh is mounted here.
 */
export async function mountAll(
  root: RootHandle,
  spec: RuntimeSpec,
  mountProc: (target: number) => Promise<boolean>,
): Promise<void> {
  const pending: Promise<void>[] = [];
  try {
    for (const one of spec.mounts) {
      if (one.type === 'proc') {
        pending.push(mountProcAt(root, one, mountProc));
        continue;
      }
      // A bind may lie below /proc.
      if (one.type === 'bind') await pending.pop();
      mountOne(root, one, spec);
      if (one.destination === '/dev' && one.type === 'tmpfs') fillDev(root, spec.linux.devices ?? []);
    }
  } finally {
    await Promise.all(pending);
  }
}

/** The command stays in the cgroup that we are in, and reads its limits there. */
function bindCgroups(root: RootHandle, one: SpecMount): void {
  const bound = { ...one, source: one.destination, options: ['rbind', ...one.options] };
  if (existsSync(bound.source)) withExisting(root, one.destination, () => bindOne(root, bound));
}

function mountOne(root: RootHandle, one: SpecMount, spec: RuntimeSpec): void {
  try {
    if (one.type === 'bind') bindOne(root, one);
    else if (one.type === 'cgroup') bindCgroups(root, one);
    else
      withPlace(root, one, 'directory', (target) =>
        mountFresh(root, mountedOutside(one, spec.linux), target),
      );
  } catch (error) {
    if (!OPTIONAL.has(one.type)) throw mountError(one, error);
  }
}

/** Where no fresh /proc may be mounted, the host's is bound. */
function procOfHost(one: SpecMount): SpecMount {
  return { ...one, type: 'bind', source: '/proc', options: ['rbind', 'nosuid', 'noexec', 'nodev'] };
}

function mountError(one: SpecMount, cause: unknown): unknown {
  if (!isSystemError(cause)) return cause;
  const from = one.type === 'bind' ? `"${one.source}"` : one.type;
  return new BuildError('bad-mount', `mounting ${from} on "${one.destination}": ${cause.message}`, { cause });
}

function withPlace<T>(
  root: RootHandle,
  one: SpecMount,
  kind: 'file' | 'directory',
  action: (target: number) => T,
): T {
  const target = ensureInRoot(root, one.destination, { kind });
  try {
    return action(target);
  } finally {
    closeDescriptor(target);
  }
}

async function mountProcAt(
  root: RootHandle,
  one: SpecMount,
  mountProc: (target: number) => Promise<boolean>,
): Promise<void> {
  try {
    const target = ensureInRoot(root, one.destination, { kind: 'directory' });
    const mounted = await mountProc(target).finally(() => closeDescriptor(target));
    if (!mounted) bindOne(root, procOfHost(one));
  } catch (error) {
    throw mountError(one, error);
  }
}

/** Binds exactly what the source's path stood for when it was opened, and makes sure of it (SECURITY B04, I2). */
function bindOne(root: RootHandle, one: SpecMount): void {
  const { flags, recursive, propagation } = parseOptions(one.options);
  const source = openAt(-100, one.source, OPEN.path);
  try {
    const wanted = statDescriptor(source);
    const kind = (wanted.mode & S_IF.mask) === S_IF.directory ? 'directory' : 'file';
    withPlace(root, one, kind, (target) =>
      mount(descriptorPath(source), descriptorPath(target), undefined, MS.bind | (recursive ? MS.rec : 0)),
    );
    withMounted(root, one, (mounted) => {
      const { inode, device } = statDescriptor(mounted);
      if (inode !== wanted.inode || device !== wanted.device)
        throw new BuildError(
          'unsafe-path',
          `something else than "${one.source}" was mounted on "${one.destination}"`,
        );
      restrictMount(mounted, flags, OF_HOST.has(one.destination));
      if (propagation !== undefined) mount(undefined, descriptorPath(mounted), undefined, propagation);
    });
  } finally {
    closeDescriptor(source);
  }
}

function mountFresh(root: RootHandle, one: SpecMount, target: number): void {
  const { flags, propagation, data } = parseOptions(one.options);
  mount(one.source, descriptorPath(target), one.type, flags, data);
  if (propagation === undefined) return;
  withMounted(root, one, (mounted) => mount(undefined, descriptorPath(mounted), undefined, propagation));
}

function withMounted(root: RootHandle, one: SpecMount, action: (mounted: number) => void): void {
  const mounted = openInRoot(root, one.destination);
  try {
    action(mounted);
  } finally {
    closeDescriptor(mounted);
  }
}

function fillDev(root: RootHandle, devices: readonly SpecDevice[]): void {
  const dev = openInRoot(root, '/dev', OPEN.readOnly | OPEN.directory);
  try {
    for (const name of NODES) bindNode(dev, name, `/dev/${name}`);
    for (const [name, to] of LINKS) symlinkAt(to, dev, name);
    for (const device of devices) addDevice(root, device);
  } finally {
    closeDescriptor(dev);
  }
}

/** @param parent has no such name yet */
function bindNode(parent: number, name: string, source: string): void {
  const target = openAt(parent, name, OPEN.writeOnly | OPEN.create | OPEN.exclusive, 0o755);
  try {
    mount(source, descriptorPath(target), undefined, MS.bind);
    protectNode(() => openAt(parent, name, OPEN.path | OPEN.noFollow));
  } catch (error) {
    // A host without the device (a container without /dev/tty) gives none to the command.
    if (!isSystemError(error, 'ENOENT')) throw error;
  } finally {
    closeDescriptor(target);
  }
}

/** The host's own node can be written to as ever, but its owner and permissions are the host's. */
function protectNode(open: () => number): void {
  const mounted = open();
  try {
    restrictMount(mounted, MS.rdonly, false);
  } finally {
    closeDescriptor(mounted);
  }
}

const DEVICE_TYPES = { c: S_IF.character, u: S_IF.character, b: S_IF.block, p: S_IF.fifo };

function addDevice(root: RootHandle, device: SpecDevice): void {
  const slash = device.path.lastIndexOf('/');
  const name = device.path.slice(slash + 1);
  const parent = ensureInRoot(root, device.path.slice(0, slash) || '/', { kind: 'directory' });
  try {
    const mode = DEVICE_TYPES[device.type] | (device.fileMode ?? 0o666);
    mknodAt(parent, name, mode, device.major, device.minor);
  } catch (error) {
    // One of the standard devices, which are there already.
    if (isSystemError(error, 'EEXIST')) return;
    // In a user namespace no node can be made; the host's own serves where it has the same name.
    if (!isSystemError(error, 'EPERM')) throw error;
    bindNode(parent, name, device.path);
  } finally {
    closeDescriptor(parent);
  }
}

/** Hides masked paths and protects read-only ones; what is not there is left out. */
export function protectPaths(root: RootHandle, spec: RuntimeSpec): void {
  for (const path of spec.linux.readonlyPaths) {
    withExisting(root, path, (fd) => {
      mount(descriptorPath(fd), descriptorPath(fd), undefined, MS.bind | MS.rec);
      withExisting(root, path, (mounted) => restrictMount(mounted, MS.rdonly, false));
    });
  }
  for (const path of spec.linux.maskedPaths) {
    withExisting(root, path, (fd) => {
      if ((statDescriptor(fd).mode & S_IF.mask) === S_IF.directory)
        mount('tmpfs', descriptorPath(fd), 'tmpfs', MS.rdonly | MS.nosuid | MS.nodev | MS.noexec, 'size=0k');
      else {
        mount('/dev/null', descriptorPath(fd), undefined, MS.bind);
        protectNode(() => openInRoot(root, path));
      }
    });
  }
}

function withExisting(root: RootHandle, path: string, action: (fd: number) => void): void {
  let fd: number;
  try {
    fd = openInRoot(root, path);
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return;
    throw error;
  }
  try {
    action(fd);
  } finally {
    closeDescriptor(fd);
  }
}

/**
 * Makes the root handle this thread's root and lets go of the host's file systems; ends in the working directory,
 * which was opened inside the root and so cannot lie outside it (SECURITY B21).
 * @param noPivot for roots that pivot_root cannot leave (a ramdisk): the host's mounts stay, with this one over them
 * @throws BuildError `unsafe-path` for a working directory that is none
 */
export function enterRoot(root: RootHandle, workingDirectory: string, noPivot = false): void {
  let cwd: number;
  try {
    cwd = openInRoot(root, workingDirectory, OPEN.path | OPEN.directory);
  } catch (cause) {
    throw new BuildError('unsafe-path', `changing to the working directory "${workingDirectory}" failed`, {
      cause,
    });
  }
  changeDirectory(root.fd);
  if (noPivot) coverRoot();
  else swapRoots();
  changeDirectory(cwd);
  closeDescriptor(cwd);
}

/** A mount on `/` is where every way up ends: without it a command that may chroot could leave. */
function coverRoot(): void {
  mount('.', '/', undefined, MS.move);
  changeRoot('.');
}

/** pivot_root onto the current directory; the old root, which then lies over it, is let go. */
function swapRoots(): void {
  const old = openAt(-100, '/', OPEN.path | OPEN.directory);
  pivotRoot('.', '.');
  changeDirectory(old);
  unmount('.', MNT.detach);
  closeDescriptor(old);
}
