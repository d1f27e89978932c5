import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { BuildError } from '../error.ts';

/** True where `--ssh` names the socket of an agent, not key files. */
export function isAgentSocket(paths: readonly string[]): boolean {
  const [path] = paths;
  return paths.length === 1 && path !== undefined && statSync(path).isSocket();
}

/** The end of stdin, which the end of this process is too, ends the agent: keys outlive no build that is killed. */
const WATCHED_AGENT =
  'command -v ssh-agent >/dev/null || exit; ssh-agent -D -a "$1" & cat >/dev/null; kill $!';

/** An agent with a socket; gone when disposed, where it is ours. */
export interface OpenAgent extends AsyncDisposable {
  readonly socket: string;
}

/** The agent that `--ssh` means: the caller's, or one of our own that holds the keys. */
export async function openAgent(
  paths: readonly string[],
  { temporaryDirectory, path }: { readonly temporaryDirectory: string; readonly path: string | undefined },
): Promise<OpenAgent> {
  await using stack = new AsyncDisposableStack();
  let socket = paths[0] as string;
  if (!isAgentSocket(paths)) {
    const directory = mkdtempSync(join(temporaryDirectory, 'slipway-ssh-'));
    stack.defer(() => rmSync(directory, { recursive: true, force: true }));
    socket = join(directory, 'agent.sock');
    await startAgent(paths, socket, { path, cleanup: stack });
  }
  const owned = stack.move();
  return { socket, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** @param options.path where its programs are found @throws BuildError `unsupported`, `bad-mount` for a key that cannot be used */
export async function startAgent(
  keys: readonly string[],
  socket: string,
  { path, cleanup }: { readonly path: string | undefined; readonly cleanup: AsyncDisposableStack },
): Promise<void> {
  const agent = spawn('sh', ['-c', WATCHED_AGENT, 'sh', socket], { stdio: ['pipe', 'ignore', 'ignore'] });
  const failed = once(agent, 'close').then(() => {
    throw new BuildError('unsupported', 'ssh keys need the programs ssh-agent and ssh-add');
  });
  cleanup.defer(() => {
    agent.stdin.destroy();
  });
  await Promise.race([waitFor(socket), failed]);
  failed.catch(() => undefined);
  for (const key of keys) addKey(key, socket, path);
}

function addKey(key: string, socket: string, path: string | undefined): void {
  const added = spawnSync('ssh-add', ['-q', key], {
    env: { PATH: path, SSH_AUTH_SOCK: socket, SSH_ASKPASS_REQUIRE: 'never' },
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
  });
  if (added.status === 0) return;
  throw new BuildError('bad-mount', `reading the ssh key ${key}: ${added.stderr.trim().split('\n').pop()}`, {
    hint: 'keys with a passphrase go into an agent of your own: --ssh default=$SSH_AUTH_SOCK',
  });
}

async function waitFor(socket: string): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (existsSync(socket)) return;
    await delay(10);
  }
  throw new BuildError('runtime', 'ssh-agent did not start');
}
