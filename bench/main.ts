// Measures the tools beside the installed peers, in turn in one run, and prints medians, the ratio and the peak memory.
// usage: npm run bench [-- PATTERN ...] [--runs N]
import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundle } from '../scripts/bundle.ts';
import { type Bench, openBench } from './bench.ts';
import { type Measurement, measure, median } from './measure.ts';
import { ROWS } from './rows.ts';

const args = process.argv.slice(2);
const runs = Number(args.includes('--runs') ? args[args.indexOf('--runs') + 1] : 3);
const patterns = args.filter((arg, at) => !arg.startsWith('--') && args[at - 1] !== '--runs');

await bundle({ types: false });
const work = mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), 'slipway-bench-'));
await using bench = await openBench(work);
console.log(
  `peers: ${['buildah', 'skopeo', 'docker'].map((peer) => version(bench, peer)).join(', ')}; ${runs} runs each, medians\n`,
);
console.log(
  `${'work'.padEnd(52)} ${'ours'.padStart(9)} ${'peer'.padStart(9)} ${'ratio'.padStart(6)} ${'goal'.padStart(6)} ${'peak MB'.padStart(16)}`,
);
for (const row of ROWS) {
  if (patterns.length && !patterns.some((pattern) => row.name.includes(pattern))) continue;
  try {
    await runRow(row);
  } catch (error) {
    console.log(
      `${row.name.padEnd(52)} failed: ${error instanceof Error ? error.message.split('\n').slice(0, 4).join(' | ') : String(error)}`,
    );
    process.exitCode = 1;
  }
}
const wanted = (name: string) => !patterns.length || patterns.some((pattern) => name.includes(pattern));
if (wanted('signature checks')) {
  const { measureChecks } = await import('./signature-checks.ts');
  const { simple, sigstore } = await measureChecks(3000);
  console.log(
    `\nEd25519 signature checks a second and core: signedBy ${simple.toFixed(0)}, sigstoreSigned ${sigstore.toFixed(0)}, goal 1000`,
  );
}
if (wanted('copy with a signature verified')) {
  const { measureVerifiedCopy } = await import('./verified-copy.ts');
  const { signedBy, sigstoreSigned } = await measureVerifiedCopy(bench, runs * 5);
  console.log(
    `copy with a signature verified adds: signedBy ${signedBy.toFixed(0)} ms, sigstoreSigned ${sigstoreSigned.toFixed(0)} ms, goal 60`,
  );
}
if (wanted('planning 1,000 tags')) {
  const { measurePlan } = await import('./plan-requests.ts');
  const { fresh, unchanged, seconds } = await measurePlan(bench, 1000);
  console.log(
    `planning 1,000 tags: ${fresh} requests in ${seconds.toFixed(1)} s where the destination has none (goal: tags + constant), ${unchanged} where it has all (one HEAD on each side)`,
  );
}

async function runRow(row: (typeof ROWS)[number]): Promise<void> {
  await row.prepare?.(bench);
  const peer = row.peer !== undefined && bench.has(row.peer);
  const ours: Measurement[] = [];
  const theirs: Measurement[] = [];
  for (let run = 0; run < runs; run += 1) {
    ours.push(await once(row, 'ours', run));
    if (peer) theirs.push(await once(row, 'peer', run));
  }
  const [a, b] = [median(ours.map((one) => one.seconds)), median(theirs.map((one) => one.seconds))];
  const peak = (list: Measurement[]) =>
    list.length ? (Math.max(...list.map((one) => one.peakBytes)) / 1e6).toFixed(0) : '-';
  const ratio = theirs.length ? (a / b).toFixed(2) : '-';
  console.log(
    `${row.name.padEnd(52)} ${`${a.toFixed(3)} s`.padStart(9)} ${(theirs.length ? `${b.toFixed(3)} s` : '-').padStart(9)} ${ratio.padStart(6)} ${(row.goal?.toString() ?? '').padStart(6)} ${`${peak(ours)} / ${peak(theirs)}`.padStart(16)}${row.note ? `  ${row.note(bench)}` : ''}`,
  );
}

async function once(row: (typeof ROWS)[number], side: 'ours' | 'peer', run: number): Promise<Measurement> {
  await row.before?.(bench, side, run);
  const { command, args: words, environment } = row.command(bench, side, run);
  const result = await measure(command, words, environment ? { environment } : {});
  await row.after?.(bench, side, run);
  return result;
}

function version(opened: Bench, peer: string): string {
  if (!opened.has(peer)) return `no ${peer}`;
  if (peer === 'docker') return spawnSync('dockerd', ['--version'], { encoding: 'utf8' }).stdout.trim();
  return spawnSync(peer, ['--version'], { encoding: 'utf8' }).stdout.trim().split('\n')[0] as string;
}
