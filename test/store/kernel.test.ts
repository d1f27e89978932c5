import { deepEqual, equal, match, ok, rejects, throws } from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { digestOf } from '../../image/digest.ts';
import * as kernel from '../../store/kernel/index.ts';
import { loadKoffi, startSha256 } from '../../store/kernel/libc.ts';
import { randomBytes } from '../../store/kernel/random.ts';
import { sha256Maker } from '../../store/kernel/sha256.ts';

const test = suite('store/kernel');
let root: string;
test.before(() => {
  root = mkdtempSync(join(tmpdir(), 'slipway-kernel-'));
});
test.after(() => rmSync(root, { recursive: true, force: true }));

test('randomBytes fills every length with other bytes each time', () => {
  for (const size of [0, 1, 44, 70_000]) equal(randomBytes(size).length, size);
  equal(new Set(Array.from({ length: 100 }, () => randomBytes(16).toString('hex'))).size, 100);
  ok(new Set(randomBytes(70_000)).size > 200);
});

test('statAt gives exact nanoseconds, negative times and names that are not UTF-8', () => {
  const directory = kernel.openAt(kernel.AT_FDCWD, root, kernel.OPEN.path | kernel.OPEN.directory);
  const name = Buffer.from([0x61, 0xff, 0x0a, 0x5c]);
  const fd = kernel.openAt(directory, name, kernel.OPEN.create | kernel.OPEN.writeOnly, 0o640);
  kernel.chmodDescriptor(fd, 0o4755);
  closeSync(fd);
  for (const time of [1_234_567_890_123_456_789n, -1_500_000_001n, 0n]) {
    kernel.setTimesAt(directory, name, time, time);
    equal(kernel.statAt(directory, name).modifiedNs, time);
  }
  const status = kernel.statAt(directory, name);
  equal(status.mode, kernel.S_IF.regular | 0o4755);
  equal(status.uid, process.getuid?.());
  const listing = kernel.openAt(directory, '.', kernel.OPEN.directory);
  ok(
    kernel
      .readDirectory(listing)
      .some((entry) => entry.name.equals(name) && entry.type === kernel.S_IF.regular),
  );
  equal(kernel.statAtIfExists(directory, 'absent'), undefined);
  closeSync(listing);
  closeSync(directory);
});

test('errors carry code, syscall and path', () => {
  throws(
    () => kernel.openAt(kernel.AT_FDCWD, join(root, 'absent\n'), 0),
    (error: NodeJS.ErrnoException) => {
      deepEqual([error.code, error.errno, error.syscall], ['ENOENT', -2, 'openat']);
      match(error.message, /^ENOENT: no such file or directory, openat '.*absent\\x0a'$/);
      return true;
    },
  );
  throws(() => kernel.cString('a\0b'), { code: 'unsafe-path' });
  throws(() => kernel.unmount(join(root, 'absent')), { code: 'ENOENT', syscall: 'umount2' });
});

test('openAt2 resolves absolute links and .. inside the root', () => {
  mkdirSync(join(root, 'in/etc'), { recursive: true });
  writeFileSync(join(root, 'in/etc/passwd'), 'inside');
  for (const [name, target] of [
    ['absolute', '/etc/passwd'],
    ['climbing', '../../../../etc/passwd'],
  ] as const) {
    symlinkSync(target, join(root, 'in', name));
  }
  const directory = kernel.openAt(kernel.AT_FDCWD, join(root, 'in'), kernel.OPEN.path);
  for (const name of ['absolute', 'climbing', '/etc/passwd', '../../etc/passwd']) {
    const fd = kernel.openAt2(directory, name, kernel.OPEN.readOnly);
    equal(readFileSync(fd, 'utf8'), 'inside');
    closeSync(fd);
  }
  closeSync(directory);
});

test('extended attributes of files and descriptors', () => {
  const path = join(root, 'attributes');
  writeFileSync(path, '');
  try {
    kernel.setXattr(path, 'user.a', Buffer.from([0, 255, 10]));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOTSUP') throw error;
    return void console.log('SKIP extended attributes: the file system has none');
  }
  const fd = openSync(path, 'r+');
  kernel.setXattr(fd, 'user.b', '');
  deepEqual(
    kernel
      .listXattrs(path)
      .filter((name) => name.startsWith('user.'))
      .sort(),
    ['user.a', 'user.b'],
  );
  deepEqual(kernel.getXattr(fd, 'user.a'), Buffer.from([0, 255, 10]));
  deepEqual(kernel.getXattr(path, 'user.b'), Buffer.alloc(0));
  kernel.removeXattr(path, 'user.b');
  equal(kernel.getXattr(path, 'user.b'), undefined);
  throws(() => kernel.removeXattr(fd, 'user.b'), { code: 'ENODATA' });
  closeSync(fd);
});

test('locks exclude each other, readers share, and waiting can be aborted', async () => {
  const path = join(root, 'lock');
  writeFileSync(path, '');
  const [a, b] = [openSync(path, 'r+'), openSync(path, 'r+')];
  ok(kernel.tryLock(a, 'read') && kernel.tryLock(b, 'read'));
  equal(kernel.tryLock(b, 'write'), false);
  equal(kernel.tryLock(b, 'write', 'process'), false);
  await rejects(kernel.lock(b, 'write', { signal: AbortSignal.timeout(40) }), { name: 'TimeoutError' });
  setTimeout(() => kernel.tryLock(a, 'unlock'), 30);
  await kernel.lock(b, 'write');
  equal(kernel.tryLock(a, 'read'), false);
  closeSync(a);
  closeSync(b);
});

test('rename without replacing, and exchanging', () => {
  for (const name of ['x', 'y']) writeFileSync(join(root, name), name);
  const directory = kernel.openAt(kernel.AT_FDCWD, root, kernel.OPEN.path);
  throws(() => kernel.renameAt(directory, 'x', directory, 'y', kernel.RENAME.noReplace), { code: 'EEXIST' });
  kernel.renameAt(directory, 'x', directory, 'y', kernel.RENAME.exchange);
  equal(readFileSync(join(root, 'x'), 'utf8'), 'y');
  closeSync(directory);
});

test('copyFileContents copies, also from files without a size', () => {
  writeFileSync(join(root, 'from'), Buffer.alloc(300_000, 'ab'));
  for (const source of [join(root, 'from'), '/proc/self/status']) {
    const [from, to] = [openSync(source, 'r'), openSync(join(root, 'to'), 'w')];
    kernel.copyFileContents(from, to);
    closeSync(from);
    closeSync(to);
    const copy = readFileSync(join(root, 'to'));
    ok(source.startsWith('/proc') ? copy.length > 100 : copy.equals(readFileSync(source)));
  }
});

test('device numbers', () => {
  equal(kernel.makeDevice(8, 1), 0x801n);
  equal(kernel.makeDevice(259, 65537), 0x10010301n);
  equal(kernel.makeDevice(0, 0), 0n);
});

test('SHA-256 of OpenSSL, here and on the pool, and of node:crypto where no library shows it, is the same', async () => {
  const makers = [
    startSha256,
    sha256Maker(loadKoffi().load(null)),
    sha256Maker({
      func: () => {
        throw new Error('none');
      },
    }),
  ];
  for (const size of [0, 1, 55, 56, 63, 64, 65, 5000, 1 << 20]) {
    const bytes = randomBytes(size);
    const expected = createHash('sha256').update(bytes).digest('hex');
    for (const make of makers) {
      const [hash, other] = [make(), make()];
      for (let at = 0; at < size; at += 777) hash.update(bytes.subarray(at, at + 777));
      for (let at = 0; at < size; at += 7777) await other.updateOnPool(bytes.subarray(at, at + 7777));
      equal(hash.digest().toString('hex'), expected);
      equal(other.digest().toString('hex'), expected);
    }
    equal(digestOf(bytes), `sha256:${expected}`);
  }
  equal(digestOf('ä', 'sha256'), `sha256:${createHash('sha256').update('ä').digest('hex')}`);
  equal(digestOf('x', 'sha512'), `sha512:${createHash('sha512').update('x').digest('hex')}`);
});

test.run();
