// Git repositories over HTTP on loopback, by git's own http-backend; and the headers that were received.
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

export interface GitServer extends AsyncDisposable {
  /** Without a trailing slash. */
  readonly url: string;
  readonly host: string;
  /** Authorization headers, as they came. */
  readonly authorizations: string[];
}

export const hasGit = (() => {
  try {
    execFileSync('git', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

const IDENTITY = {
  GIT_AUTHOR_NAME: 'a',
  GIT_AUTHOR_EMAIL: 'a@example.com',
  GIT_COMMITTER_NAME: 'a',
  GIT_COMMITTER_EMAIL: 'a@example.com',
  GIT_AUTHOR_DATE: '2001-02-03T04:05:06Z',
  GIT_COMMITTER_DATE: '2001-02-03T04:05:06Z',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
};

/** Runs git in a directory, as a fixed author at a fixed time. */
export function git(directory: string, ...args: readonly string[]): string {
  const env = { PATH: process.env.PATH, ...IDENTITY };
  return execFileSync('git', ['-c', 'protocol.file.allow=always', ...args], {
    cwd: directory,
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  }).trim();
}

/** A repository with a branch `main` whose working tree `fill` makes. */
export function makeRepository(path: string, fill: (directory: string) => void): string {
  mkdirSync(path, { recursive: true });
  git(path, 'init', '-q', '-b', 'main');
  git(path, 'config', 'uploadpack.allowAnySHA1InWant', 'true');
  fill(path);
  git(path, 'add', '-A');
  git(path, 'commit', '-q', '-m', 'first');
  return path;
}

/** Serves the repositories in a directory: `NAME.git` is the repository `NAME`. */
export async function startGitServer(root: string): Promise<GitServer> {
  const authorizations: string[] = [];
  const server = createServer((request, response) => {
    if (request.headers.authorization) authorizations.push(request.headers.authorization);
    runBackend(root, request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: `http://${host}`,
    host,
    authorizations,
    [Symbol.asyncDispose]: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

function runBackend(root: string, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', 'http://x');
  const path = url.pathname.replace(/^\/([^/]+)\.git\//, '/$1/.git/');
  const child = spawn('git', ['http-backend'], {
    env: {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: path,
      PATH_TRANSLATED: join(root, path),
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
      ...IDENTITY,
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  request.pipe(child.stdin);
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.on('close', () => reply(Buffer.concat(chunks), response));
}

function reply(output: Buffer, response: ServerResponse): void {
  const end = output.indexOf('\r\n\r\n');
  let status = 200;
  for (const line of output.toString('latin1', 0, Math.max(0, end)).split('\r\n')) {
    const [name = '', value = ''] = line.split(': ', 2);
    if (name === 'Status') status = Number.parseInt(value, 10);
    else if (name) response.setHeader(name, value);
  }
  response.writeHead(status);
  response.end(output.subarray(end + 4));
}
