import { isSystemError } from '../../errors.ts';
import { chownAt, chownDescriptor } from '../kernel/at.ts';
import { setXattr } from '../kernel/xattr.ts';
import { toHost } from './id-map.ts';
import { mayGive, OVERRIDE_XATTR, setOverride } from './owner-override.ts';
import { bytesOf, type Place } from './rooted.ts';
import { PAX_XATTR, type TarEntry } from './tar-entry.ts';
import type { UnpackSettings } from './unpack.ts';

interface Ids {
  readonly uid: number;
  readonly gid: number;
}

/** Gives files the owners and attributes that their entries have, as far as the settings and the caller's rights go. */
export class EntryMetadata {
  readonly #settings: UnpackSettings;

  constructor(settings: UnpackSettings) {
    this.#settings = settings;
  }

  #hostIds(entry: Ids): readonly [number, number] {
    const { idMappings } = this.#settings;
    return [toHost(idMappings?.uids, entry.uid, 'uid'), toHost(idMappings?.gids, entry.gid, 'gid')];
  }

  setOwner(fd: number, entry: TarEntry, type: number): void {
    if (!this.#gives(entry, (ids) => chownDescriptor(fd, ...ids)))
      setOverride(fd, { ...entry, mode: type | entry.mode });
  }

  setOwnerAt(place: Place, entry: TarEntry, mode?: number): void {
    if (!this.#gives(entry, (ids) => chownAt(place.directory, place.name, ...ids)))
      if (mode !== undefined) setOverride(procPath(place), { ...entry, mode });
  }

  #gives(entry: Ids, chown: (hostIds: readonly [number, number]) => void): boolean {
    return mayGive(() => chown(this.#hostIds(entry)), entry, this.#settings.ignoreChownErrors === true);
  }

  /** Implied parents and whiteouts belong to the container's root. */
  own(place: Place): void {
    if (!this.#settings.idMappings) return;
    this.#gives({ uid: 0, gid: 0 }, (ids) => chownAt(place.directory, place.name, ...ids));
  }

  setXattrs(fd: number, entry: TarEntry): void {
    for (const [name, value] of xattrsOf(entry)) this.#setXattr(fd, name, value);
  }

  setXattrsAt(place: Place, entry: TarEntry): void {
    for (const [name, value] of xattrsOf(entry)) this.#setXattr(procPath(place), name, value);
  }

  /** As containers/storage: passed over where the file system or an unprivileged user cannot set it. */
  #setXattr(target: number | Buffer, name: Buffer, value: Buffer): void {
    try {
      setXattr(target, name, value);
    } catch (error) {
      const { inUserNamespace, ignoreChownErrors } = this.#settings;
      if (isSystemError(error, 'ENOTSUP')) return;
      if (isSystemError(error, 'EPERM') && (inUserNamespace || ignoreChownErrors)) return;
      throw error;
    }
  }
}

/** Attributes that an archive may set. The overlay file system's own would change what other files look like. */
function* xattrsOf(entry: TarEntry): Generator<readonly [Buffer, Buffer]> {
  for (const [key, value] of entry.pax) {
    if (!key.startsWith(PAX_XATTR)) continue;
    const name = key.slice(PAX_XATTR.length);
    const isRefused =
      name === '' ||
      name === 'security.selinux' ||
      name === OVERRIDE_XATTR ||
      name.startsWith('trusted.overlay.') ||
      name.startsWith('user.overlay.');
    if (!isRefused) yield [bytesOf(name), bytesOf(value)];
  }
}

/** A path for calls that have no `at` form; the link in /proc leads to the held directory itself. */
function procPath(place: Place): Buffer {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${place.directory}/`), place.name]);
}
