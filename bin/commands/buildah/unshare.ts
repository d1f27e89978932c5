import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { WorkingContainer } from '../../../build/container/contract.ts';
import { mountContainer, unmountContainer } from '../../../build/container/mount.ts';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { enterUserNamespace } from '../../rootless.ts';
import { usage } from './arguments.ts';
import { findContainer } from './containers-in-store.ts';
import { openSession, type Session } from './session.ts';

export const unshare: CommandSpec = {
  name: 'unshare',
  summary: 'Run a command in a modified user namespace',
  description:
    'Inside, the caller is root over his own and his subordinate ids, and may mount working containers. Without a command, $SHELL runs.',
  usage: '[flags] [COMMAND [ARG...]]',
  examples: [
    'buildah unshare id',
    'buildah unshare cat /proc/self/uid_map',
    'buildah unshare buildah-script.sh',
  ],
  flags: [
    {
      name: 'mount',
      short: 'm',
      kind: 'slice',
      usage: 'mount `[VARIABLE=]CONTAINER` and say in the variable where',
    },
  ],
  interspersed: false,
  run: runUnshare,
};

async function runUnshare(context: CommandContext): Promise<number> {
  const { io, args, flags } = context;
  const shell = io.environment.SHELL;
  const [program, ...rest] = args.length > 0 ? args : shell ? [shell] : [];
  if (program === undefined) throw usage('no command specified');
  const mounts = flags.list('mount');
  const environment = {
    ...io.environment,
    BUILDAH_ISOLATION: io.environment.BUILDAH_ISOLATION ?? 'rootless',
  };
  if (!io.environment._CONTAINERS_USERNS_CONFIGURED) {
    // Mounts are made inside, by this command again; a plain command is executed there at once.
    const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)] as const;
    enterUserNamespace({
      command: mounts.length > 0 ? [again[0], ...again.slice(1)] : [program, ...rest],
      environment,
      onWarning: context.note,
    });
  }
  if (mounts.length === 0) return await runProgram(context, program, rest, environment);
  await using session = await openSession(context);
  await using stack = new AsyncDisposableStack();
  const variables = await mountAll(session, mounts, stack);
  return await runProgram(context, program, rest, { ...environment, ...variables });
}

async function mountAll(
  session: Session,
  mounts: readonly string[],
  stack: AsyncDisposableStack,
): Promise<Record<string, string>> {
  const variables: Record<string, string> = {};
  for (const spec of mounts) {
    const equals = spec.indexOf('=');
    const name = equals < 0 ? spec : spec.slice(equals + 1);
    const container: WorkingContainer = await findContainer(session, name);
    const variable = equals < 0 ? spec : spec.slice(0, equals);
    const mountPoint = await mountContainer(session.store, container);
    stack.defer(async () => void (await unmountContainer(session.store, container)));
    if (variable !== '') variables[variable] = mountPoint;
  }
  return variables;
}

/** Gives the program this process's terminal and signals, and its exit code back. */
function runProgram(
  { io, signal }: CommandContext,
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: 'inherit',
      env: { ...environment },
      cwd: io.workingDirectory,
    });
    const stop = () => child.kill('SIGTERM');
    signal.addEventListener('abort', stop, { once: true });
    child.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'ENOENT' ? usage(`exec: "${program}": executable file not found in $PATH`) : error,
      ),
    );
    child.once('exit', (code, ended) => {
      signal.removeEventListener('abort', stop);
      resolve(code ?? 128 + (ended ? constants.signals[ended] : 0));
    });
  });
}
