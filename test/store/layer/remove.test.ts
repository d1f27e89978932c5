import { equal, ok, rejects } from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import { MNT, MS, mount, unmount } from '../../../store/kernel/mount.ts';
import { removeTree } from '../../../store/layer/index.ts';
import { isRoot, Scratch } from './scratch.ts';

const test = suite('store/layer removal');

test('removes files, links, odd names and directories without permissions, small and large', async () => {
  for (const count of [3, 400]) {
    using scratch = new Scratch();
    mkdirSync(scratch.path('closed/inner'), { recursive: true });
    for (let at = 0; at < count; at += 1) writeFileSync(scratch.path(`closed/inner/f${at}`), 'x');
    writeFileSync(Buffer.concat([Buffer.from(scratch.path('odd ')), Buffer.from([0xff, 0x0a])]), 'x');
    symlinkSync('../victim', scratch.path('link'));
    symlinkSync('../victim', scratch.path('closed/link'));
    chmodSync(scratch.path('closed/inner'), 0o000);
    chmodSync(scratch.path('closed'), 0o100);
    await removeTree(scratch.root);
    ok(!existsSync(scratch.root) && scratch.isVictimKept);
    await removeTree(scratch.root);
  }
});

test('removes a link or a file itself', async () => {
  using scratch = new Scratch();
  symlinkSync('../victim', scratch.path('link'));
  writeFileSync(scratch.path('file'), 'x');
  for (const name of ['link', 'file']) await removeTree(scratch.path(name));
  equal(scratch.exists('link') || scratch.exists('file'), false);
  ok(scratch.isVictimUntouched);
});

if (isRoot) {
  test('leaves alone what is mounted inside', async () => {
    using scratch = new Scratch();
    mkdirSync(scratch.path('a/mounted'), { recursive: true });
    mount(scratch.victim, scratch.path('a/mounted'), undefined, MS.bind);
    try {
      await rejects(removeTree(scratch.root), { code: 'EBUSY' });
      ok(existsSync(join(scratch.victim, 'hello')));
    } finally {
      unmount(scratch.path('a/mounted'), MNT.detach);
    }
    await removeTree(scratch.root);
    ok(scratch.isVictimKept);
  });
} else console.log('SKIP mounts: needs root');

test.run();
