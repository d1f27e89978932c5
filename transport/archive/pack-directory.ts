import { createReadStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { TarWriter } from './tar-writer.ts';

const SMALL_BYTES = 1 << 20;

/** Adds the files below a directory of ours, sorted: equal content gives equal bytes. */
export async function packDirectory(tar: TarWriter, directory: string, parent = ''): Promise<void> {
  for (const name of (await readdir(join(directory, parent))).toSorted()) {
    const member = parent === '' ? name : `${parent}/${name}`;
    const path = join(directory, member);
    const found = await stat(path);
    if (found.isDirectory()) {
      await tar.writeDirectory(member);
      await packDirectory(tar, directory, member);
    } else if (found.size < SMALL_BYTES) await tar.writeBytes(member, await readFile(path), { mode: 0o644 });
    else
      await tar.writeFile(member, found.size, createReadStream(path, { highWaterMark: 1 << 20 }), {
        mode: 0o644,
      });
  }
}
