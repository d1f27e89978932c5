import { createReadStream, statSync } from 'node:fs';
import { Readable } from 'node:stream';
import { paddingOf, TAR_TYPE } from '../../store/layer/tar-entry.ts';
import { encodeTarHeader } from '../../store/layer/tar-header.ts';

const END_MARKER_BYTES = 1024;

/**
 * A layer that holds files only, without the directories they are in, so that those stay as they are below.
 * @param files image path to host file; owned by 0:0, mode 0644
 * @param timestampSeconds modification time of all
 */
export function extraFilesTar(files: Readonly<Record<string, string>>, timestampSeconds: number): Readable {
  return Readable.from(pieces(files, timestampSeconds));
}

async function* pieces(
  files: Readonly<Record<string, string>>,
  timestampSeconds: number,
): AsyncGenerator<Buffer> {
  for (const path of Object.keys(files).sort()) {
    const source = files[path] as string;
    const sizeBytes = statSync(source).size;
    yield encodeTarHeader({
      name: Buffer.from(path.replace(/^\/+/, '')).toString('latin1'),
      linkName: '',
      type: TAR_TYPE.file,
      mode: 0o644,
      uid: 0,
      gid: 0,
      userName: '',
      groupName: '',
      sizeBytes,
      modifiedNs: BigInt(timestampSeconds) * 1_000_000_000n,
      deviceMajor: 0,
      deviceMinor: 0,
      pax: new Map(),
    });
    yield* createReadStream(source, { end: Math.max(sizeBytes - 1, 0) }) as AsyncIterable<Buffer>;
    yield Buffer.alloc(paddingOf(sizeBytes));
  }
  yield Buffer.alloc(END_MARKER_BYTES);
}
