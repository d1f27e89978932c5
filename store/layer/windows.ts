import { S_IF } from '../kernel/stat.ts';
import { DIRECTORY_SECURITY, FILE_SECURITY } from './security-descriptor.ts';
import { TAR_TYPE, type TarEntry } from './tar-entry.ts';

/** The two directories of a layer of Windows: hives of the registry, and the files below the drive's root. */
export const WINDOWS_ROOTS = ['Hives/', 'Files/'] as const;
const FILES = 'Files/';
const NS = 1_000_000_000n;

/** FILE_ATTRIBUTE_DIRECTORY and FILE_ATTRIBUTE_ARCHIVE. */
const ATTRIBUTE = { directory: '16', archive: '32' } as const;

/** An entry of a layer as one of a layer of Windows, below its files. */
export function windowsEntry(entry: TarEntry): TarEntry {
  // The target of a symbolic link is read where the image runs, that of a hard link where the layer is unpacked.
  const linkName = entry.type === TAR_TYPE.hardLink ? FILES + entry.linkName : entry.linkName;
  return withAttributes({ ...entry, name: FILES + entry.name, linkName });
}

/** Adds what Windows wants to know of a file, in the PAX records that its own tools write and read. */
export function withAttributes(entry: TarEntry): TarEntry {
  const pax = new Map(entry.pax);
  const { modifiedNs, type } = entry;
  pax.set('LIBARCHIVE.creationtime', `${modifiedNs / NS}.${String(modifiedNs % NS).padStart(9, '0')}`);
  if (type === TAR_TYPE.directory) {
    pax.set('MSWINDOWS.fileattr', ATTRIBUTE.directory).set('MSWINDOWS.rawsd', DIRECTORY_SECURITY);
    return { ...entry, pax, mode: entry.mode | S_IF.directory };
  }
  if (type !== TAR_TYPE.file) return { ...entry, pax };
  pax.set('MSWINDOWS.fileattr', ATTRIBUTE.archive).set('MSWINDOWS.rawsd', FILE_SECURITY);
  return { ...entry, pax, mode: entry.mode | S_IF.regular };
}
