import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** A Docker engine with BuildKit, with its own data root and socket, for the rows that race it. */
export interface Engine extends AsyncDisposable {
  /** The client that fits the engine; another one on the PATH may want plugins. */
  readonly client: string;
  readonly host: string;
}

/** Undefined where no engine is installed, where this is not root, or where it does not come up. */
export async function startEngine(work: string): Promise<Engine | undefined> {
  const daemon = ['/usr/sbin/dockerd', '/usr/bin/dockerd'].find((path) => existsSync(path));
  if (!daemon || !existsSync('/usr/bin/docker') || process.getuid?.() !== 0) return undefined;
  const host = `unix://${join(work, 'docker.sock')}`;
  const directories = [
    '--data-root',
    join(work, 'docker'),
    '--exec-root',
    join(work, 'docker-exec'),
    '--pidfile',
    join(work, 'docker.pid'),
  ];
  const child = spawn(daemon, ['--iptables=false', '--bridge=none', '--host', host, ...directories], {
    stdio: 'ignore',
  });
  const engine = { client: '/usr/bin/docker', host, [Symbol.asyncDispose]: () => stop(child) };
  for (let attempt = 0; attempt < 100; attempt += 1) {
    if (spawnSync(engine.client, ['-H', host, 'info'], { stdio: 'ignore', timeout: 5000 }).status === 0)
      return engine;
    if (child.exitCode !== null) return undefined;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  await stop(child);
  return undefined;
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = new Promise((resolve) => child.on('close', resolve));
  child.kill('SIGTERM');
  await ended;
}
