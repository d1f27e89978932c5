import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import type { IsolationKind, RunRequest, RunResult } from '../../../build/run/contract.ts';
import { runCommand } from '../../../build/run/run.ts';
import { makeRootfs } from '../../support/rootfs.ts';

/** One root file system of this test process, and a way to run a shell script in it. */
export const base = mkdtempSync(join(tmpdir(), 'run-test-'));
chmodSync(base, 0o755);
export const rootfs = makeRootfs(join(base, 'rootfs'), {
  commands: ['grep', 'mount', 'pwd', 'hostname', 'tty', 'readlink', 'head', 'stat', 'chmod', 'unshare'],
});
process.on('exit', () => rmSync(base, { recursive: true, force: true }));

interface Outcome {
  readonly result: RunResult;
  readonly output: string;
  readonly errors: string;
}

let counter = 0;
function collector(): { stream: Writable; text: () => string } {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
  return { stream, text: () => Buffer.concat(chunks).toString() };
}

export async function run(
  isolation: IsolationKind,
  script: string,
  extra: Partial<RunRequest> = {},
): Promise<Outcome> {
  const out = collector();
  const err = collector();
  counter += 1;
  const result = await runCommand({
    rootfs,
    stateDirectory: join(base, `state-${counter}`),
    args: ['/bin/sh', '-c', script],
    environment: ['PATH=/bin'],
    workingDirectory: '/',
    user: '',
    hostname: 'box',
    mounts: [],
    isolation,
    network: { mode: 'host' },
    capabilities: { add: [], drop: [] },
    stdin: 'ignore',
    stdout: out.stream,
    stderr: err.stream,
    ...extra,
  });
  return { result, output: out.text(), errors: err.text() };
}

export const tree = () => readdirSync(rootfs, { recursive: true }).sort().join('\n');
export const mounts = () =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(base));

/** Ids of processes whose command line has these words. */
export function processes(words: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^[0-9]+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').includes(words);
    } catch {
      return false;
    }
  });
}
