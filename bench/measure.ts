import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** What one run of a command cost. */
export interface Measurement {
  readonly seconds: number;
  /** The highest resident set of any single process below the command, from VmHWM. */
  readonly peakBytes: number;
  readonly stdout: string;
}

const SAMPLE_MS = 15;

/** Runs a command to its end. @throws Error with its output when it fails */
export async function measure(
  command: string,
  args: readonly string[],
  options: { readonly environment?: Record<string, string>; readonly input?: string } = {},
): Promise<Measurement> {
  const started = performance.now();
  const child = spawn(command, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...options.environment },
  });
  child.stdin.on('error', () => {});
  child.stdin.end(options.input ?? '');
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
  let peakBytes = 0;
  const sampler = setInterval(() => {
    if (child.pid !== undefined) peakBytes = Math.max(peakBytes, peakOfTree(child.pid));
  }, SAMPLE_MS);
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  const seconds = (performance.now() - started) / 1000;
  clearInterval(sampler);
  if (status !== 0)
    throw new Error(
      `${command} ${args.join(' ')} ended with ${status}:\n${Buffer.concat(errors).toString().slice(-2000)}`,
    );
  return { seconds, peakBytes, stdout: Buffer.concat(output).toString() };
}

function peakOfTree(pid: number): number {
  try {
    const own =
      Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
    const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean),
    );
    return Math.max(own, ...children.map((child) => peakOfTree(Number(child))));
  } catch {
    return 0; // the process ended between two looks
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}
