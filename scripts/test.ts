// Types, lint, import rules and all tests. The last line is `N passed, N failed`, with `, N skipped` where any were.
// usage: npm test [-- PATTERN ...]   runs only the test files whose path contains a pattern, without types and lint
import { spawn, spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { bundle } from './bundle.ts';

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const FILE_TIMEOUT_MS = 10 * 60_000;
const patterns = process.argv.slice(2);
const counts: Counts = { passed: 0, failed: 0, skipped: 0 };

if (patterns.length === 0) {
  // The launchers run the bundle where it is newer than the sources: tests of the tools then test what is published.
  await bundle({ types: false });
  const check = spawnSync(process.execPath, ['scripts/check.ts'], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (check.status === 0) counts.passed += 1;
  else counts.failed += 1;
}
const files = globSync('test/**/*.test.ts')
  .filter((file) => patterns.length === 0 || patterns.some((pattern) => file.includes(pattern)))
  .sort();
// These look for processes, mounts or memory of the whole machine.
const alone = (file: string) => /\/(interop|build\/run)\/|big-layer|kill|crash/.test(file);
await runAll(
  files.filter((file) => !alone(file)),
  Math.max(2, Math.min(8, availableParallelism())),
);
await runAll(files.filter(alone), 1);

const ran = counts.passed + counts.failed + counts.skipped;
if (ran === (patterns.length === 0 ? 1 : 0)) {
  console.log('no test ran');
  counts.failed += 1;
}
console.log(
  `${counts.passed} passed, ${counts.failed} failed${counts.skipped ? `, ${counts.skipped} skipped` : ''}`,
);
process.exitCode = counts.failed ? 1 : 0;

async function runAll(list: readonly string[], jobs: number): Promise<void> {
  const queue = [...list];
  await Promise.all(
    Array.from({ length: jobs }, async () => {
      for (let file = queue.shift(); file !== undefined; file = queue.shift()) await runFile(file);
    }),
  );
}

/** One process for each file; uvu's closing lines are its count. A file that prints none has failed. */
async function runFile(file: string): Promise<void> {
  const started = Date.now();
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', file], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, FORCE_COLOR: '0', NO_COLOR: '1' },
  });
  const output: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => output.push(chunk));
  }
  const timer = setTimeout(() => child.kill('SIGKILL'), FILE_TIMEOUT_MS);
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
  clearTimeout(timer);
  const text = Buffer.concat(output).toString();
  const sum = (word: string) =>
    [...text.matchAll(new RegExp(`^\\s*${word}:\\s+(\\d+)`, 'gm'))].reduce(
      (total, match) => total + Number(match[1]),
      0,
    );
  const total = sum('Total');
  const passed = sum('Passed');
  const skipped = sum('Skipped');
  const failed = Math.max(total - passed, status !== 0 || total + skipped === 0 ? 1 : 0);
  counts.passed += passed;
  counts.failed += failed;
  counts.skipped += skipped;
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  console.log(
    `${failed ? 'FAIL' : 'ok  '} ${file} (${passed} passed${failed ? `, ${failed} failed` : ''}${skipped ? `, ${skipped} skipped` : ''}, ${seconds} s)`,
  );
  for (const line of text.split('\n')) if (line.startsWith('SKIP ')) console.log(`     ${line}`);
  if (failed) console.log(text.trimEnd().replace(/^/gm, '     '));
}
