/** Type flags of tar entries, POSIX.1-2017 pax and GNU. */
export const TAR_TYPE = {
  file: '0',
  oldFile: '\0',
  hardLink: '1',
  symlink: '2',
  character: '3',
  block: '4',
  directory: '5',
  fifo: '6',
  contiguous: '7',
  pax: 'x',
  globalPax: 'g',
  gnuLongName: 'L',
  gnuLongLink: 'K',
  gnuSparse: 'S',
} as const;

/**
 * What a tar header says. `name`, `linkName`, `userName` and `groupName` hold one byte of the original per character
 * (latin1), since file names need not be UTF-8.
 */
export interface TarEntry {
  name: string;
  linkName: string;
  type: string;
  /** Permission bits with setuid, setgid and sticky. */
  mode: number;
  uid: number;
  gid: number;
  userName: string;
  groupName: string;
  /** Bytes of content that follow in the stream. */
  sizeBytes: number;
  modifiedNs: bigint;
  /** Read where an archive has it, and not written. */
  accessedNs?: bigint;
  /** Read where an archive has it, and not written. */
  changedNs?: bigint;
  /** The mode field as it was read, with file type bits where the writer put them there. */
  modeField?: number;
  deviceMajor: number;
  deviceMinor: number;
  /** Records beyond the fields above, such as `SCHILY.xattr.security.capability`; latin1 like the names. */
  pax: Map<string, string>;
}

/** A PAX record that carries an extended attribute starts so (Schily star, libarchive, Go). */
export const PAX_XATTR = 'SCHILY.xattr.';

export const BLOCK_BYTES = 512;

/** Bytes that fill the last block of a content of this size. */
export function paddingOf(sizeBytes: number): number {
  return (BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES;
}
