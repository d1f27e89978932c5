import { equal } from 'node:assert/strict';
import { closeSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { ensureInRoot, openRoot } from '../../../build/run/rooted-path.ts';

const test = suite('paths in a root file system');
const base = mkdtempSync(join(tmpdir(), 'rooted-path-'));
process.on('exit', () => rmSync(base, { recursive: true, force: true }));

test('what is made has its mode whatever the mask of the caller is', () => {
  const before = process.umask(0o077);
  try {
    using root = openRoot(base);
    closeSync(ensureInRoot(root, '/made/deep', { kind: 'directory', mode: 0o755 }));
    closeSync(ensureInRoot(root, '/stub/file', { kind: 'file' }));
  } finally {
    process.umask(before);
  }
  const modes = ['made', 'made/deep', 'stub', 'stub/file'].map(
    (path) => statSync(join(base, path)).mode & 0o777,
  );
  equal(modes.map((mode) => mode.toString(8)).join(' '), '755 755 755 755');
});

test.run();
