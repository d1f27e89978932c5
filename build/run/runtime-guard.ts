import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * Waits on a pipe that only this process holds. When the process dies without a word, the pipe ends and the shell
 * kills the runtime, deletes the container and removes its directory; after a word it just ends.
 */
const GUARD = `pid=
while read -r word; do
  case $word in done) exit 0 ;; *) pid=$word ;; esac
done
[ -n "$pid" ] || exit 0
kill -9 "$pid"
id=$1 state=$2 mountpoint=$3
shift 3
tries=0
until "$@" delete --force "$id" || [ "$tries" -ge 20 ]; do sleep 0.1; tries=$((tries + 1)); done
rm -rf "$state"
[ -z "$mountpoint" ] || rmdir "$mountpoint"`;

/** What happens to a container when this process dies. */
export interface RuntimeGuard extends AsyncDisposable {
  /** Names the process that is killed then, in place of the one before. */
  watch(pid: number): void;
}

/**
 * Guards a container until it is disposed of.
 * @param runtime the runtime with its flags, without an operation
 */
export function guardContainer(
  container: { readonly id: string; readonly bundle: string; readonly mountPoint?: string },
  runtime: readonly string[],
  environment: NodeJS.ProcessEnv,
): RuntimeGuard {
  const words = [container.id, container.bundle, container.mountPoint ?? '', ...runtime];
  const guard = spawn('/bin/sh', ['-c', GUARD, 'guard', ...words], {
    stdio: ['pipe', 'ignore', 'ignore'],
    env: environment,
    cwd: '/',
    detached: true,
  });
  guard.on('error', () => undefined);
  guard.stdin?.on('error', () => undefined);
  return {
    watch: (pid) => void guard.stdin?.write(`${pid}\n`),
    async [Symbol.asyncDispose]() {
      guard.stdin?.end('done\n');
      // Whoever adopts the orphans of this process is to find none.
      if (guard.pid !== undefined && guard.exitCode === null) await once(guard, 'exit');
    },
  };
}
