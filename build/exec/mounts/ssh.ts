import { once } from 'node:events';
import { chmodSync, chownSync, rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { isAgentSocket, startAgent } from '../../add/ssh-agent.ts';
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
  const directory = context.session.workspace.directory('ssh');
  context.cleanup.defer(() => rmSync(directory, { recursive: true, force: true }));
  const socket = join(directory, 'agent.sock');
  const upstream = source.paths[0];
  if (upstream !== undefined && isAgentSocket(source.paths)) await forward(upstream, socket, context);
  else {
    const { PATH: path } = context.session.options.run.hostEnvironment;
    await startAgent(source.paths, socket, { path, cleanup: context.cleanup });
  }
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
