import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { isSystemError } from '../../../errors.ts';
import { StoreError } from '../../../store/error.ts';
import { Database, type DatabaseFile } from '../../../store/storage/database.ts';
import { lockFileAt } from '../../../store/storage/lock-file.ts';

const test = suite('storage locks');
const directory = mkdtempSync(join(tmpdir(), 'slipway-locks-'));
test.after(() => rmSync(directory, { recursive: true }));
let count = 0;
const freshPath = (name: string) => join(directory, `${count++}-${name}`);

test('writers exclude each other, readers share', async () => {
  const lock = lockFileAt(freshPath('a.lock'));
  const events: string[] = [];
  const first = await lock.acquire('read');
  const second = await lock.acquire('read');
  const writer = lock.acquire('write').then((hold) => {
    events.push('write');
    return hold;
  });
  const late = lock.acquire('read').then((hold) => {
    events.push('late read');
    return hold;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(events, []);
  first.release();
  second.release();
  (await writer).release();
  (await late).release();
  assert.deepEqual(events, ['write', 'late read']);
});

test('the last writer is a record of 64 bytes that changes with every write', async () => {
  const path = freshPath('b.lock');
  const hold = await lockFileAt(path).acquire('write');
  assert.equal(hold.lastWrite().length, 0);
  const first = hold.recordWrite();
  assert.equal(first.length, 64);
  assert.ok(hold.lastWrite().equals(first));
  assert.ok(!hold.recordWrite().equals(first));
  hold.release();
  assert.equal(readFileSync(path).length, 64);
});

test('a waiter can be aborted and the lock still works', async () => {
  const lock = lockFileAt(freshPath('c.lock'));
  const hold = await lock.acquire('write');
  const stop = new AbortController();
  const waiting = lock.acquire('write', stop.signal);
  stop.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
  hold.release();
  (await lock.acquire('write')).release();
});

test('a lock of another process is waited for, and can be given up', async () => {
  const path = freshPath('d.lock');
  const child = holdInChild(path);
  await child.ready;
  const stop = AbortSignal.timeout(60);
  await assert.rejects(lockFileAt(path).acquire('write', stop), /timeout|aborted/i);
  child.kill();
  (await lockFileAt(path).acquire('write')).release();
});

test('SECURITY 4: a killed holder leaves no lock', async () => {
  const path = freshPath('e.lock');
  const child = holdInChild(path);
  await child.ready;
  const waiting = lockFileAt(path).acquire('write');
  child.kill();
  (await waiting).release();
});

test('a lock file of a read-only store is not written', async () => {
  const lock = lockFileAt(freshPath('absent.lock'), { readOnly: true });
  (await lock.acquire('read')).release();
  await assert.rejects(
    lock.acquire('write'),
    (error) => error instanceof StoreError && error.code === 'locked',
  );
});

test('SECURITY 4: four processes writing 60 times each lose no update', async () => {
  const root = freshPath('counter');
  const processes = Array.from({ length: 4 }, (_, number) =>
    run(['test/store/storage/write-many.ts', root, `p${number}`, '60']),
  );
  for (const code of await Promise.all(processes)) assert.equal(code, 0);
  const rows = JSON.parse(readFileSync(join(root, 'rows.json'), 'utf8')) as { id: string; writes: number }[];
  assert.deepEqual(
    rows.map(({ id, writes }) => [id, writes]).sort(),
    ['p0', 'p1', 'p2', 'p3', 'shared'].map((id) => [id, id === 'shared' ? 240 : 60]),
  );
});

const rowsAt = (path: string) => {
  const file: DatabaseFile = { path, durable: false };
  return new Database<{ id: string; names?: string[]; extra?: unknown }>({
    lock: lockFileAt(`${path}.lock`),
    files: [file],
    home: file,
    what: 'thing',
  });
};

test('unknown fields are kept when rows are rewritten', async () => {
  const path = freshPath('rows.json');
  const future = { id: 'a', names: ['x'], future: { deep: [1, 'two'] }, big: 12345678901 };
  writeFileSync(path, JSON.stringify([future]));
  await rowsAt(path).write((rows) => {
    rows.rename(rows.byId('a')!, ['y']);
    rows.add({ id: 'b' });
    rows.save();
  });
  assert.deepEqual(JSON.parse(readFileSync(path, 'utf8')), [{ ...future, names: ['y'] }, { id: 'b' }]);
});

for (const [why, text] of [
  ['truncated', '[{"id":"a"}'],
  ['no list', '{"id":"a"}'],
  ['no id', '[{"names":[]}]'],
  ['not JSON', 'garbage'],
] as const)
  test(`SECURITY 4: a corrupt file (${why}) is an error that names it, and nothing is deleted`, async () => {
    const path = freshPath('rows.json');
    writeFileSync(path, text);
    const check = (error: unknown) =>
      error instanceof StoreError &&
      error.code === 'corrupt-store' &&
      error.message.includes(path) &&
      error.hint!.includes(path);
    await assert.rejects(
      rowsAt(path).read(() => {}),
      check,
    );
    await assert.rejects(
      rowsAt(path).write(() => {}),
      check,
    );
    assert.equal(readFileSync(path, 'utf8'), text);
  });

for (const text of ['', 'null', '[]'])
  test(`${JSON.stringify(text)} is an empty list`, async () => {
    const path = freshPath('rows.json');
    writeFileSync(path, text);
    assert.equal(await rowsAt(path).read((rows) => rows.all.length), 0);
  });

test('a file replaced behind the lock is read again', async () => {
  const path = freshPath('rows.json');
  const rows = rowsAt(path);
  assert.equal(await rows.read(({ all }) => all.length), 0);
  writeFileSync(path, '[{"id":"a"}]');
  assert.equal(await rows.read(({ all }) => all.length), 1);
});

test('a name that two rows have goes to the later one, on disk too', async () => {
  const path = freshPath('rows.json');
  writeFileSync(path, '[{"id":"a","names":["n"]},{"id":"b","names":["n"]}]');
  assert.equal(await rowsAt(path).read((rows) => rows.byName('n')?.id), 'b');
  assert.deepEqual(JSON.parse(readFileSync(path, 'utf8'))[0].names, []);
});

test('after a throw the rows are those on disk', async () => {
  const rows = rowsAt(freshPath('rows.json'));
  await assert.rejects(
    rows.write((writable) => {
      writable.add({ id: 'a' });
      throw new Error('stop');
    }),
    /stop/,
  );
  assert.equal(await rows.read(({ all }) => all.length), 0);
});

function run(args: readonly string[]): Promise<number | null> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
}

function holdInChild(path: string): { readonly ready: Promise<void>; kill(): void } {
  const child = spawn(process.execPath, ['test/store/storage/hold-lock.ts', path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ready = new Promise<void>((resolve) => child.stdout.once('data', () => resolve()));
  return {
    ready,
    kill: () => {
      try {
        child.kill('SIGKILL');
      } catch (error) {
        if (!isSystemError(error, 'ESRCH')) throw error;
      }
    },
  };
}

test.run();
