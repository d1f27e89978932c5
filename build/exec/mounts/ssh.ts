import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { BuildError } from '../../error.ts';
import { ownerOf } from './owner.ts';
import type { MountContext, PreparedMount } from './prepare.ts';
import type { MountSpec } from './spec.ts';

/**
 * An SSH agent for one RUN: the caller's, by a socket that passes everything on, or one of our own that holds the
 * given keys. Keys themselves never enter the container.
 */
export async function prepareSsh(spec: MountSpec, context: MountContext): Promise<PreparedMount> {
  const id = spec.id ?? 'default';
  const source = context.session.options.ssh?.get(id);
  if (!source) {
    if (!spec.required) return {};
    throw new BuildError('bad-mount', `ssh required but no ssh with id ${id} found`, {
      hint: `pass --ssh ${id}`,
    });
  }
  const directory = mkdtempSync(join(context.session.surroundings.temporaryDirectory, 'slipway-ssh-'));
  context.cleanup.defer(() => rmSync(directory, { recursive: true, force: true }));
  const socket = join(directory, 'agent.sock');
  const upstream = source.paths[0];
  if (source.paths.length === 1 && upstream && statSync(upstream).isSocket())
    await forward(upstream, socket, context);
  else await startAgent(source.paths, socket, context);
  chmodSync(directory, 0o755);
  const { uid, gid } = ownerOf(spec, context);
  chownSync(socket, uid, gid);
  chmodSync(socket, spec.mode ?? 0o600);
  const destination = spec.target ?? `/run/buildkit/ssh_agent.${context.agents}`;
  return {
    mount: { type: 'bind', source: socket, destination, options: ['bind', 'rprivate', 'ro'] },
    environment: context.agents === 0 ? [`SSH_AUTH_SOCK=${destination}`] : [],
  };
}

async function forward(upstream: string, socket: string, context: MountContext): Promise<void> {
  const server: Server = createServer((client) => {
    const agent = connect(upstream);
    client.pipe(agent).pipe(client);
    client.on('error', () => agent.destroy());
    agent.on('error', () => client.destroy());
  });
  server.listen(socket);
  await once(server, 'listening');
  context.cleanup.defer(async () => {
    server.close();
  });
}

async function startAgent(keys: readonly string[], socket: string, context: MountContext): Promise<void> {
  const agent: ChildProcess = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
  const failed = once(agent, 'error').then(([cause]) => {
    throw new BuildError('unsupported', 'ssh keys need the programs ssh-agent and ssh-add', { cause });
  });
  context.cleanup.defer(() => {
    agent.kill();
  });
  await Promise.race([waitFor(socket), failed]);
  failed.catch(() => undefined);
  for (const key of keys) {
    const added = spawnSync('ssh-add', ['-q', key], {
      env: {
        PATH: context.session.options.run.hostEnvironment.PATH,
        SSH_AUTH_SOCK: socket,
        SSH_ASKPASS_REQUIRE: 'never',
      },
      stdio: ['ignore', 'ignore', 'pipe'],
      encoding: 'utf8',
    });
    if (added.status !== 0)
      throw new BuildError(
        'bad-mount',
        `reading the ssh key ${key}: ${added.stderr.trim().split('\n').pop()}`,
        {
          hint: 'keys with a passphrase go into an agent of your own: --ssh default=$SSH_AUTH_SOCK',
        },
      );
  }
}

async function waitFor(socket: string): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (existsSync(socket)) return;
    await delay(10);
  }
  throw new BuildError('runtime', 'ssh-agent did not start');
}
