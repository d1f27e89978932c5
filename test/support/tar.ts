// Small tars for tests: ustar headers, fixed owner 0:0 or that of an ordinary user who runs the tests.
export interface TarEntry {
  /** A directory where it ends in a slash. */
  readonly name: string;
  readonly body?: string | Uint8Array;
  readonly mode?: number;
  /** Seconds since the epoch. */
  readonly mtime?: number;
  readonly linkname?: string;
  /** Type flag; default by name and linkname: file, directory, symlink. */
  readonly type?: string;
}

const isRoot = process.geteuid?.() === 0;

export function tarOf(entries: readonly TarEntry[]): Buffer {
  return Buffer.concat([...entries.flatMap(blocksOf), Buffer.alloc(1024)]);
}

function blocksOf({ name, body = '', mode, mtime = 1_500_000_000, linkname = '', type }: TarEntry): Buffer[] {
  const bytes = Buffer.from(body);
  const flag = type ?? (name.endsWith('/') ? '5' : linkname === '' ? '0' : '2');
  const header = Buffer.alloc(512);
  header.write(name, 0, 100);
  const octal = (value: number, at: number, length: number) =>
    header.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, length, 'latin1');
  octal(mode ?? (flag === '5' ? 0o755 : 0o644), 100, 8);
  octal(isRoot ? 0 : process.getuid!(), 108, 8);
  octal(isRoot ? 0 : process.getgid!(), 116, 8);
  octal(flag === '0' ? bytes.length : 0, 124, 12);
  octal(mtime, 136, 12);
  header.write('        ', 148, 8, 'latin1');
  header.write(flag, 156, 1, 'latin1');
  header.write(linkname, 157, 100);
  header.write('ustar\0' + '00', 257, 8, 'latin1');
  octal(
    header.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  );
  const padding = Buffer.alloc((512 - (bytes.length % 512)) % 512);
  return flag === '0' ? [header, bytes, padding] : [header];
}
