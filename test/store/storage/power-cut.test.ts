// What a power cut may take away: nothing that a record tells of. Seen by the system calls that a process makes.
import { deepEqual, equal, ok } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';

const test = suite('power cuts');
const directory = mkdtempSync(join(tmpdir(), 'slipway-power-'));
test.after(() => rmSync(directory, { recursive: true, force: true }));
const hasStrace = spawnSync('strace', ['-qq', 'true']).status === 0;
if (!hasStrace) console.log('SKIP power cuts: strace is not installed or may not trace');
const traced = hasStrace ? test : test.skip;

/** The calls of interest, in order, of a process that makes a layer and removes it. */
function callsOf(name: string, option: string): string[] {
  const program = `
    const { openStore } = await import(${JSON.stringify(join(import.meta.dirname, '../../../store/storage/open.ts'))});
    await using store = await openStore({
      graphRoot: ${JSON.stringify(join(directory, name, 'root'))}, runRoot: ${JSON.stringify(join(directory, name, 'run'))},
      driver: 'vfs', driverOptions: ['vfs.sync=${option}'],
    });
    const { id } = await store.layers.create({});
    await store.layers.delete(id);`;
  const log = join(directory, `${name}.log`);
  const words = ['-f', '-qq', '-o', log, '-e', 'trace=fdatasync,fsync,syncfs,rename,renameat,renameat2'];
  const done = spawnSync('strace', [...words, process.execPath, '--input-type=module', '-e', program], {
    encoding: 'utf8',
  });
  equal(done.status, 0, done.stderr);
  return readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => /sync|layers\.json/.test(line))
    .map((line) => /^\d+\s+([a-z]+)/.exec(line)?.[1] ?? line);
}

traced('every new layers.json is on disk before it replaces the old one', () => {
  const calls = callsOf('plain', 'none');
  const renames = calls.flatMap((call, at) => (call.startsWith('rename') ? [at] : []));
  equal(renames.length, 4);
  for (const at of renames) equal(calls[at - 1], 'fdatasync');
});

traced('sync=filesystem: a layer is on disk before its record says that it is complete', () => {
  const calls = callsOf('synced', 'filesystem');
  const at = calls.indexOf('syncfs');
  ok(at > 0);
  deepEqual(calls.slice(at, at + 3), ['syncfs', 'fdatasync', calls[at + 2]]);
  ok(calls[at + 2]?.startsWith('rename'));
  equal(callsOf('unsynced', 'none').includes('syncfs'), false);
});

test.run();
