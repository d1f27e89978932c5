import { chmodSync, mkdtempSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import type { RunPlan } from './plan.ts';

/** Everyone may walk to what is made here. */
const PARENT = '/tmp';

/** Makes the mount where only the program that follows sees it, and becomes that program. */
const BIND = 'mount --rbind "$1" "$2" && shift 2 && exec "$@"';

/** How a runtime is started, and what it shall take for the root file system. */
export interface RuntimeStart extends Disposable {
  readonly rootfs: string;
  /** An empty directory that is to go with the container. */
  readonly mountPoint?: string;
  command(words: readonly string[]): readonly [string, ...string[]];
}

/**
 * Where the container's root is another user than ours, that user cannot walk the directories of storage: the root file
 * system is bound to a directory that everyone can, in a mount namespace that the runtime alone has.
 */
export function runtimeStart({ rootOwner }: RunPlan, rootfs: string): RuntimeStart {
  if (rootOwner.uid === 0) return plainStart(rootfs);
  const mountPoint = mkdtempSync(join(PARENT, 'slipway-root-'));
  chmodSync(mountPoint, 0o711);
  return {
    rootfs: mountPoint,
    mountPoint,
    command: (words) => [
      ...(['unshare', '--mount', '--propagation', 'slave', '--'] as const),
      ...['/bin/sh', '-c', BIND, 'bind', rootfs, mountPoint, ...words],
    ],
    // Not recursively: should the mount be visible here after all, the root file system stays.
    [Symbol.dispose]: () => rmdirSync(mountPoint),
  };
}

function plainStart(rootfs: string): RuntimeStart {
  return {
    rootfs,
    command: ([program = '', ...words]) => [program, ...words],
    [Symbol.dispose]: () => undefined,
  };
}
