import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { suite } from 'uvu';
import { FileSink } from '../../transport/file-sink.ts';

const test = suite<{ directory: string }>('a file as the end of a stream');
test.before.each((state) => {
  state.directory = mkdtempSync(join(tmpdir(), 'file-sink-'));
});
test.after.each(({ directory }) => rmSync(directory, { recursive: true, force: true }));

function isOpen(path: string): boolean {
  if (process.platform !== 'linux') return false;
  const target = (name: string) => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`);
    } catch {
      return '';
    }
  };
  return readdirSync('/proc/self/fd').some((name) => target(name) === path);
}

for (const sync of [true, false])
  test(`holds what came, in order, over several flushes (sync: ${sync})`, async ({ directory }) => {
    const path = join(directory, 'blob');
    const chunks = Array.from({ length: 700 }, (_, at) => randomBytes((at % 7) * 12_000 + 1));
    const sink = new FileSink(path, { sync });
    await pipeline(Readable.from(chunks), sink);
    const whole = Buffer.concat(chunks);
    ok(whole.length > 20_000_000);
    ok(readFileSync(path).equals(whole));
    equal(sink.bytesWritten, whole.length);
    equal(isOpen(path), false);
  });

test('an empty file is one', async ({ directory }) => {
  const path = join(directory, 'blob');
  await pipeline(Readable.from([]), new FileSink(path, { sync: true }));
  deepEqual(readFileSync(path).length, 0);
});

test('a file that is there is left alone', async ({ directory }) => {
  const path = join(directory, 'blob');
  writeFileSync(path, 'mine');
  await rejects(pipeline(Readable.from([randomBytes(10)]), new FileSink(path, { sync: true })), {
    code: 'EEXIST',
  });
  equal(readFileSync(path, 'utf8'), 'mine');
});

test('a source that fails is the failure, and the file is closed', async ({ directory }) => {
  const path = join(directory, 'blob');
  async function* broken(): AsyncGenerator<Buffer> {
    yield randomBytes(20_000_000);
    throw new Error('lost');
  }
  await rejects(pipeline(Readable.from(broken()), new FileSink(path, { sync: true })), { message: 'lost' });
  equal(existsSync(path), true);
  equal(isOpen(path), false);
});

test.run();
