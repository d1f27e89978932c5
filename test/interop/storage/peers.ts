// Debian's podman, buildah and skopeo as peers on one store.
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';

export const isRoot = process.geteuid?.() === 0;

export function missing(...programs: readonly string[]): string | undefined {
  if (!isRoot) return 'the peers need root here';
  return programs
    .find((program) => spawnSync(program, ['--version']).status !== 0)
    ?.concat(' is not installed');
}

export interface Places {
  readonly graphRoot: string;
  readonly runRoot: string;
  readonly driver: 'overlay' | 'vfs';
}

export function placesIn(directory: string, driver: 'overlay' | 'vfs'): Places {
  return { graphRoot: join(directory, 'root'), runRoot: join(directory, 'run'), driver };
}

/** Runs a peer on the store; throws with its output when it fails. */
export function peer(places: Places, program: 'podman' | 'buildah', ...args: readonly string[]): string {
  const result = spawnSync(program, [...flags(places, program), ...args], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  if (result.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${result.stderr || result.stdout}`);
  return result.stdout.trim();
}

/** As {@link peer}, at the same time as others. */
export function peerAsync(
  places: Places,
  program: 'podman' | 'buildah',
  ...args: readonly string[]
): Promise<string> {
  const child = spawn(program, [...flags(places, program), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) =>
      code === 0 ? resolve(stdout.trim()) : reject(new Error(`${program} ${args.join(' ')}: ${stderr}`)),
    );
  });
}

function flags({ graphRoot, runRoot, driver }: Places, program: string): string[] {
  const common = ['--root', graphRoot, '--runroot', runRoot, '--storage-driver', driver];
  return program === 'podman'
    ? [...common, '--cgroup-manager', 'cgroupfs', '--tmpdir', join(runRoot, 'libpod')]
    : common;
}

export function storageName({ graphRoot, runRoot, driver }: Places, name: string): string {
  return `containers-storage:[${driver}@${graphRoot}+${runRoot}]${name}`;
}
