import { readFileSync } from 'node:fs';

/** True where something is mounted exactly on the absolute path `directory`, in this process's mount namespace. */
export function isMountPoint(directory: string): boolean {
  return mountPoints().has(directory);
}

/** Every mount point of this process's mount namespace, from /proc/self/mountinfo. */
export function mountPoints(): Set<string> {
  const points = new Set<string>();
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const path = line.split(' ', 5)[4];
    if (path !== undefined) points.add(unescapeOctal(path));
  }
  return points;
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
