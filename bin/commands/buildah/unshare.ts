import { spawn } from 'node:child_process';
import { withMount } from '../../../build/container/mount.ts';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { needsUserNamespace } from '../../rootless.ts';
import { usage } from './arguments.ts';
import { findContainer } from './containers-in-store.ts';
import { openSession } from './session.ts';

export const unshare: CommandSpec = {
  name: 'unshare',
  summary: 'Run a command in a user namespace of its own',
  usage: '[flags] [COMMAND [ARGUMENT...]]',
  examples: ['buildah unshare', "buildah unshare --mount ROOT=work sh -c 'ls $ROOT'"],
  flags: [
    {
      name: 'mount',
      short: 'm',
      kind: 'slice',
      usage: 'mount a container and set a variable to the path, `[VARIABLE=]CONTAINER`',
    },
  ],
  interspersed: false,
  run: runUnshare,
};

async function runUnshare(context: CommandContext): Promise<number> {
  const { flags, args, io } = context;
  if (needsUserNamespace(io.environment)) {
    const { enterUserNamespace } = await import('../../rootless.ts');
    return enterUserNamespace({
      command: [process.execPath, ...process.execArgv, ...process.argv.slice(1)],
      environment: io.environment,
      onWarning: context.note,
    });
  }
  if (!io.environment._CONTAINERS_USERNS_CONFIGURED && process.geteuid?.() === 0)
    throw usage('you are already root. Use `unshare` only as an ordinary user');
  await using stack = new AsyncDisposableStack();
  const environment: Record<string, string | undefined> = {
    ...io.environment,
    BUILDAH_ISOLATION: 'rootless',
  };
  const mounts = flags.list('mount');
  if (mounts.length) {
    const session = stack.use(await openSession(context));
    for (const text of mounts) {
      const equals = text.indexOf('=');
      const name = text.slice(equals + 1);
      const mounted = stack.use(await withMount(session.store, await findContainer(session, name)));
      environment[equals < 0 ? name : text.slice(0, equals)] = mounted.rootfs;
    }
  }
  const command = args.length ? args : [io.environment.SHELL || '/bin/sh'];
  return runChild(command, environment);
}

function runChild(words: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const child = spawn(words[0] as string, words.slice(1), { stdio: 'inherit', env });
  child.on('error', (cause) => reject(usage(`running "${words.join(' ')}": ${cause.message}`)));
  child.on('close', (code, signal) => resolve(code ?? (signal ? 128 : 1)));
  return promise;
}
