import { deepEqual, equal } from 'node:assert/strict';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { ensureInRoot, type MadePath, openRoot, removeMade } from '../../../build/run/rooted-path.ts';

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

/** Makes the place of a mount in an image's directory, and takes it away after `change`. */
function madeMeanwhile(name: string, change: (directory: string) => void): { hasRun: boolean; time: number } {
  const directory = join(base, name);
  mkdirSync(join(directory, 'etc'), { recursive: true });
  utimesSync(join(directory, 'etc'), 1000, 1000);
  using root = openRoot(directory);
  const made: MadePath[] = [];
  const onMade = (path: MadePath) => void made.push(path);
  for (const path of ['/run/secrets', '/etc/hosts'])
    closeSync(ensureInRoot(root, path, { kind: path === '/etc/hosts' ? 'file' : 'directory', onMade }));
  change(directory);
  for (const path of made.toReversed()) removeMade(root, path);
  equal(existsSync(join(directory, 'etc/hosts')), false);
  return {
    hasRun: existsSync(join(directory, 'run')),
    time: statSync(join(directory, 'etc')).mtimeMs / 1000,
  };
}

test('the place of a mount goes away, unless the command dated it; its directory keeps the time it has', () => {
  const touch = (path: string) => (directory: string) => utimesSync(join(directory, path), 5, 5);
  deepEqual(
    madeMeanwhile('a', () => {}),
    { hasRun: false, time: 1000 },
  );
  deepEqual(madeMeanwhile('b', touch('run')), { hasRun: true, time: 1000 });
  deepEqual(madeMeanwhile('c', touch('run/secrets')), { hasRun: true, time: 1000 });
  deepEqual(madeMeanwhile('d', touch('etc')), { hasRun: false, time: 5 });
  deepEqual(
    madeMeanwhile('e', (directory) => chmodSync(join(directory, 'run'), 0o700)),
    { hasRun: false, time: 1000 },
  );
});

test.run();
