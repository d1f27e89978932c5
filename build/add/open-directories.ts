import { isSystemError } from '../../errors.ts';
import {
  chmodDescriptor,
  chownAt,
  closeDescriptor,
  mkdirAt,
  OPEN,
  openAt,
  S_IF,
  setTimesOfDescriptor,
} from '../../store/kernel/index.ts';
import { giveOwner, type OverriddenStatus } from '../../store/layer/owner-override.ts';
import { BuildError } from '../error.ts';
import type { Owner } from './owner.ts';
import { type BytePath, type RootedDirectory, toBytes, toText } from './rooted.ts';

const OPEN_AT_ONCE = 64;

/** Directories below a root, each opened once; the missing ones are made, mode 0755. */
export class OpenDirectories implements Disposable {
  readonly #root: RootedDirectory;
  readonly #owner: Owner;
  readonly #name: BytePath;
  readonly #open = new Map<BytePath, number>();
  /** Outermost first. */
  readonly #made: BytePath[] = [];

  /**
   * @param owner of the directories that are made, in host ids
   * @param name of the root itself, for messages
   */
  constructor(root: RootedDirectory, owner: Owner, name: BytePath = '') {
    this.#root = root;
    this.#owner = owner;
    this.#name = name;
  }

  [Symbol.dispose](): void {
    for (const fd of this.#open.values()) closeDescriptor(fd);
    this.#open.clear();
  }

  /** A path descriptor, open until enough others were. @throws BuildError `unsafe-path` where something else is there */
  open(path: BytePath): number {
    const known = this.#open.get(path);
    if (known !== undefined) return known;
    const fd = this.#root.open(path, OPEN.path | OPEN.directory) ?? this.#make(path);
    if (this.#open.size >= OPEN_AT_ONCE) {
      const [oldest, stale] = this.#open.entries().next().value as [BytePath, number];
      closeDescriptor(stale);
      this.#open.delete(oldest);
    }
    this.#open.set(path, fd);
    return fd;
  }

  /** A directory was replaced: descriptors of it and of what was below it are stale. */
  forget(path: BytePath): void {
    for (const [open, fd] of this.#open)
      if (open === path || open.startsWith(`${path}/`)) {
        closeDescriptor(fd);
        this.#open.delete(open);
      }
  }

  /** Dates the directories that were made here. */
  dateMade(timeNs: bigint): void {
    for (const path of this.#made) {
      const fd = this.#root.open(path, OPEN.readOnly | OPEN.directory);
      if (fd === undefined) continue;
      setTimesOfDescriptor(fd, timeNs, timeNs);
      closeDescriptor(fd);
    }
  }

  #make(path: BytePath): number {
    let done = '';
    for (const part of path.split('/').filter(Boolean)) {
      const parent = this.#root.open(done, OPEN.path | OPEN.directory);
      if (parent === undefined) throw this.#notDirectory(done);
      done = done ? `${done}/${part}` : part;
      try {
        this.#makeOne(parent, toBytes(part));
        this.#made.push(done);
      } catch (error) {
        if (!isSystemError(error, 'EEXIST')) throw error;
      } finally {
        closeDescriptor(parent);
      }
    }
    const fd = this.#root.open(path, OPEN.path | OPEN.directory);
    if (fd === undefined) throw this.#notDirectory(path);
    return fd;
  }

  #makeOne(parent: number, name: Buffer): void {
    mkdirAt(parent, name, 0o755);
    giveAt(parent, name, { ...this.#owner, mode: S_IF.directory | 0o755 });
    const fd = openAt(parent, name, OPEN.readOnly | OPEN.directory | OPEN.noFollow);
    chmodDescriptor(fd, 0o755);
    closeDescriptor(fd);
  }

  #notDirectory(path: BytePath): BuildError {
    const shown = [this.#name, path].filter(Boolean).join('/');
    return new BuildError('unsafe-path', `"/${toText(shown)}" already exists but is not a directory`);
  }
}

/** Gives what has a name to its owner, a link itself and not what it leads to. */
export function giveAt(
  directory: number,
  name: Buffer,
  status: Owner & Pick<OverriddenStatus, 'mode'> & Partial<OverriddenStatus>,
): void {
  const path = Buffer.concat([Buffer.from(`/proc/self/fd/${directory}/`), name]);
  giveOwner(() => chownAt(directory, name, status.uid, status.gid), path, overridden(status));
}

/** What there is to note where the owner cannot be set. */
export function overridden(
  status: Owner & Pick<OverriddenStatus, 'mode'> & Partial<OverriddenStatus>,
): OverriddenStatus {
  const { uid, gid, mode, deviceMajor = 0, deviceMinor = 0 } = status;
  return { uid, gid, mode, deviceMajor, deviceMinor };
}
