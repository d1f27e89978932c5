// Types, lint, formatting and import rules; exit 1 when any is broken.
import { spawnSync } from 'node:child_process';
import { findCycle, forbiddenEdges, readImports } from './import-rules.ts';

let broken = 0;
for (const [name, command, args] of [
  ['types', 'node_modules/.bin/tsc', ['--noEmit']],
  ['lint', 'node_modules/.bin/biome', ['check', '--error-on-warnings', '--colors=off', '.']],
] as const) {
  const run = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (run.status !== 0) {
    console.log(`FAIL ${name}`);
    broken += 1;
  } else console.log(`ok   ${name}`);
}
const edges = readImports();
const lines = forbiddenEdges(edges);
const cycle = findCycle(edges);
if (cycle) lines.push(`import cycle: ${cycle.join(' -> ')}`);
for (const line of lines) console.log(`     ${line}`);
console.log(`${lines.length ? 'FAIL' : 'ok  '} import rules (${edges.length} imports)`);
process.exitCode = broken + (lines.length ? 1 : 0) ? 1 : 0;
