import { createHash } from 'node:crypto';

/**
 * The name of a run's container, for the runtime and for its cgroup. It comes from the whole path of the state directory,
 * which is this run's alone: two runs with one name would share a cgroup, and each would clean up the other's.
 */
export function containerIdOf(stateDirectory: string): string {
  return `buildah-${createHash('sha256').update(stateDirectory).digest('hex').slice(0, 16)}`;
}
