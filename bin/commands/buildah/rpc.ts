import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { usage } from './arguments.ts';

export const rpc: CommandSpec = {
  name: 'rpc',
  summary: 'Run a command with an RPC server beside it',
  usage: '[flags] COMMAND [ARGUMENT...]',
  examples: ['buildah rpc --env LISTENER client', 'buildah rpc --listen /run/rpc.sock client'],
  flags: [
    { name: 'env', short: 'e', kind: 'string', usage: "set this `VARIABLE` to the socket's address" },
    { name: 'listen', short: 'l', kind: 'string', usage: 'listen on a socket of this `PATH`' },
  ],
  interspersed: false,
  args: { min: 1 },
  run: runRpc,
};

async function runRpc({ flags, args, io }: CommandContext): Promise<number> {
  const { serveRpc } = await import('./rpc-server.ts');
  using resources = new DisposableStack();
  const path = flags.string('listen') || socketIn(resources, io.environment.TMPDIR || '/var/tmp');
  await using _server = await serveRpc(path);
  const variable = flags.string('env');
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const child = spawn(args[0] as string, args.slice(1), {
    stdio: 'inherit',
    env: { ...io.environment, ...(variable ? { [variable]: `unix://${path}` } : {}) },
  });
  child.on('error', (cause) => reject(usage(`running "${args.join(' ')}": ${cause.message}`)));
  child.on('close', (code, signal) => resolve(code ?? (signal ? 128 : 1)));
  return await promise;
}

function socketIn(resources: DisposableStack, parent: string): string {
  const directory = mkdtempSync(join(parent, 'buildah-socket'));
  resources.defer(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, 'socket');
}
