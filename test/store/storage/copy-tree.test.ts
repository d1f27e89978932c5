import { deepEqual, equal, rejects } from 'node:assert/strict';
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { copyTree } from '../../../store/storage/copy-tree.ts';

const test = suite<{ from: string; to: string; work: string }>('copies of trees');
const BIG = Buffer.alloc(40 << 20, 'slipway ');

test.before.each((state) => {
  state.work = mkdtempSync(join(tmpdir(), 'copy-tree-'));
  state.from = join(state.work, 'from');
  state.to = join(state.work, 'to');
  mkdirSync(join(state.from, 'd'), { recursive: true });
  writeFileSync(join(state.from, 'd', 'big'), BIG);
  linkSync(join(state.from, 'd', 'big'), join(state.from, 'again'));
  writeFileSync(join(state.from, 'small'), 'small');
  symlinkSync('/nowhere', join(state.from, 'link'));
  chmodSync(join(state.from, 'd', 'big'), 0o4711);
  for (const name of ['d/big', 'small', 'd']) utimesSync(join(state.from, name), 1000, 2000.5);
});
test.after.each(({ work }) => rmSync(work, { recursive: true, force: true }));

if (process.platform !== 'linux') console.log('SKIP copies of trees: they need Linux');
else {
  for (const extra of [0, 250])
    test(`hold contents, modes, times and links, ${extra === 0 ? 'large files aside' : 'in a worker'}`, async ({
      from,
      to,
    }) => {
      for (let at = 0; at < extra; at += 1) writeFileSync(join(from, `file${at}`), `${at}`);
      await copyTree(from, to);
      equal(readFileSync(join(to, 'd/big')).equals(BIG), true);
      equal(readFileSync(join(to, 'small'), 'utf8'), 'small');
      equal(readlinkSync(join(to, 'link')), '/nowhere');
      const big = statSync(join(to, 'd/big'));
      deepEqual([big.mode & 0o7777, big.mtimeMs, big.nlink], [0o4711, 2_000_500, 2]);
      equal(statSync(join(to, 'again')).ino, big.ino);
      equal(statSync(join(to, 'd')).mtimeMs, 2_000_500);
      deepEqual(readdirSync(to).sort(), readdirSync(from).sort());
    });

  test('end with the reason of a signal, and leave no descriptor open', async ({ from, to }) => {
    const open = () => readdirSync('/proc/self/fd').length;
    const before = open();
    const controller = new AbortController();
    const copying = copyTree(from, to, controller.signal);
    controller.abort(new Error('enough'));
    await rejects(copying, /^Error: enough$/);
    equal(open(), before);
  });

  test('say what failed', async ({ from, work }) => {
    await rejects(copyTree(from, join(work, 'gone', 'to')), { code: 'system' });
  });
}

test.run();
