import { spawnSync } from 'node:child_process';

/** The oldest releases of runc, by series, that close the known ways out of a container (2021 to 2026). */
const SOUND_RUNC: readonly Version[] = [
  [1, 3, 6],
  [1, 4, 3],
];
const NEWER_SERIES: Version = [1, 5, 0];
const TIMEOUT_MS = 2000;

type Version = readonly [number, number, number];

/**
 * A sentence about a runtime whose version has known ways out of a container, by what it says of itself: distributions
 * that mend without a new version are not told apart.
 */
export function runtimeAdvice(path: string): string | undefined {
  const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8', timeout: TIMEOUT_MS });
  const [, ...numbers] = /^runc version (\d+)\.(\d+)\.(\d+)/m.exec(stdout ?? '') ?? [];
  if (numbers.length === 0) return undefined;
  const version = numbers.map(Number) as unknown as Version;
  if (isSound(version)) return undefined;
  const sound = [...SOUND_RUNC, NEWER_SERIES].map((one) => one.join('.')).join(', ');
  return `${path} is version ${version.join('.')}, which can be broken out of unless the distribution mended it; good are ${sound} and newer`;
}

function isSound(version: Version): boolean {
  if (compare(version, NEWER_SERIES) >= 0) return true;
  return SOUND_RUNC.some(
    (sound) => version[0] === sound[0] && version[1] === sound[1] && version[2] >= sound[2],
  );
}

function compare(a: Version, b: Version): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
}
