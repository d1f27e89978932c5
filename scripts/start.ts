// The main job, for real: a base image from this machine's own tools, a multi-stage build on it, a registry,
// pushes and copies between every kind of place, and a container that says hello. `npm start` runs it.
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { bundle } from './bundle.ts';

const TOOLS = ['sh', 'cat', 'ls', 'cp', 'mkdir', 'id', 'env', 'wc', 'date', 'uname', 'chmod', 'sort'];
const CONTAINERFILE = `# A stage that makes a file, and a small image that carries it.
ARG BASE=localhost/base:latest
FROM \${BASE} AS maker
ARG GREETING=hello
WORKDIR /src
COPY words.txt .
@RUN echo "$GREETING from the maker stage" > made.txt
@RUN <<EOF
cat words.txt made.txt | sort > all.txt
wc -l < all.txt > count.txt
EOF

FROM \${BASE}
ENV GREETED_BY=slipway
WORKDIR /app
COPY --from=maker --chown=1000:1000 /src/ /app/
@RUN chmod 644 /app/words.txt
USER guest
LABEL org.opencontainers.image.title=hello
CMD ["/bin/sh", "-c", "echo $GREETED_BY says: && cat /app/*.txt && id"]
`;

const summary: string[][] = [];
const started = Date.now();
const work = mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), 'slipway-start-'));
const store = [
  '--root',
  join(work, 'root'),
  '--runroot',
  join(work, 'run'),
  ...(process.env.STORAGE_DRIVER ? ['--storage-driver', process.env.STORAGE_DRIVER] : []),
];

try {
  await main();
} catch (error) {
  console.error(`\nnpm start failed: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
} finally {
  cleanUp();
}

async function main(): Promise<void> {
  console.log('Slipway: build an image from scratch and move it around.\n');
  await step('bundle the tools', () => bundle({ types: false }));
  const canRun = reportIsolation();
  const base = buildBase();
  const image = buildImage(base, canRun);
  await using registry = await startRegistry();
  await moveAround(image, registry.address);
  if (canRun) runImage();
  printSummary();
}

/** Builds with RUN need root or user namespaces; says what is missing where the kernel forbids both. */
function reportIsolation(): boolean {
  const info = JSON.parse(buildah('info').stdout) as { host?: { isolation?: Record<string, string> } };
  const isolation = info.host?.isolation ?? {};
  const working = Object.entries(isolation)
    .filter(([, state]) => state === 'ok')
    .map(([name]) => name);
  if (working.length) {
    console.log(`  RUN steps can use: ${working.join(', ')}`);
    return true;
  }
  console.log('  RUN steps cannot work here:');
  for (const [name, why] of Object.entries(isolation)) console.log(`    ${name}: ${why}`);
  console.log('  Builds without RUN and every transport still do.');
  return false;
}

/** The scripted way: from scratch, copy, config, commit. */
function buildBase(): string {
  const tree = join(work, 'base');
  for (const tool of TOOLS) placeTool(tree, tool);
  mkdirSync(join(tree, 'etc'), { recursive: true });
  mkdirSync(join(tree, 'tmp'), { recursive: true });
  chmodSync(join(tree, 'tmp'), 0o1777);
  writeFileSync(
    join(tree, 'etc/passwd'),
    'root:x:0:0:root:/:/bin/sh\nguest:x:1000:1000:guest:/home/guest:/bin/sh\n',
  );
  writeFileSync(join(tree, 'etc/group'), 'root:x:0:\nguest:x:1000:\n');
  return timed('base image from scratch', 'localhost/base:latest', () => {
    const container = buildah('from', 'scratch').stdout.trim();
    buildah('copy', '--quiet', container, tree, '/');
    buildah(
      'config',
      '--env',
      'PATH=/bin',
      '--cmd',
      '["/bin/sh"]',
      '--label',
      'org.opencontainers.image.title=base',
      container,
    );
    const id = buildah('commit', '--quiet', container, 'localhost/base:latest').stdout.trim();
    buildah('rm', container);
    return id;
  });
}

/** A program of this machine and the libraries that it needs, at the paths where the loader looks for them. */
function placeTool(tree: string, tool: string): void {
  const path = ['/bin', '/usr/bin']
    .map((directory) => join(directory, tool))
    .find((candidate) => existsSync(candidate));
  if (!path) return;
  place(realpathSync(path), join(tree, 'bin', tool));
  const libraries = spawnSync('ldd', [path], { encoding: 'utf8' });
  for (const [, library] of (libraries.stdout ?? '').matchAll(/(?:=>\s+)?(\/\S+)\s+\(0x/g))
    place(realpathSync(library as string), join(tree, library as string));
}

function place(from: string, to: string): void {
  if (existsSync(to)) return;
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
  chmodSync(to, 0o755);
}

function buildImage(base: string, canRun: boolean): string {
  const context = join(work, 'context');
  mkdirSync(context);
  writeFileSync(join(context, 'words.txt'), 'quay\ncrane\nhull\n');
  const text = canRun
    ? withoutMappedUsers(CONTAINERFILE.replaceAll('@RUN', 'RUN'))
    : withoutRun(CONTAINERFILE);
  writeFileSync(join(context, 'Containerfile'), text);
  const build = [
    'build',
    '--layers',
    '--build-arg',
    'GREETING=ahoy',
    '-t',
    'localhost/hello:latest',
    context,
  ];
  const id = timed(`multi-stage build on ${base.slice(0, 12)}`, 'localhost/hello:latest', () =>
    lastLine(buildah(...build).stdout),
  );
  timed('the same again, from the cache', 'localhost/hello:latest', () => {
    const again = buildah(...build);
    if (!/Using cache/.test(again.stdout + again.stderr))
      throw new Error('the second build did not use the cache');
    if (lastLine(again.stdout) !== id) throw new Error('the second build made another image');
    return id;
  });
  return id;
}

function withoutRun(text: string): string {
  return text.replace(/^@RUN <<EOF[\s\S]*?^EOF\n/m, '').replace(/^@RUN.*\n/gm, '');
}

/** Without ranges in /etc/subuid a user namespace has one user: no other can own files or run commands. */
function withoutMappedUsers(text: string): string {
  if (process.getuid?.() === 0) return text;
  const map = run('bin/buildah', ['unshare', 'cat', '/proc/self/uid_map']).stdout.trim().split('\n');
  const ids = map.reduce((sum, line) => sum + Number(line.trim().split(/\s+/)[2]), 0);
  if (ids > 1000) return text;
  console.log(
    '  one user id is all there is (no range in /etc/subuid): the demo leaves out USER and --chown',
  );
  return text.replace(' --chown=1000:1000', '').replace(/^USER.*\n/m, '');
}

async function startRegistry(): Promise<{ address: string } & AsyncDisposable> {
  const child = spawn(
    'bin/slipway',
    ['serve', '--address', '127.0.0.1:0', '--directory', join(work, 'registry')],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const exited = new Promise<void>((resolve) => child.on('close', () => resolve()));
  const address = await new Promise<string>((resolve, reject) => {
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const found = /127\.0\.0\.1:(\d+)/.exec(text);
      if (found) resolve(found[0]);
    });
    child.on('close', () => reject(new Error('the registry did not start')));
  });
  console.log(`  registry at ${address}`);
  return {
    address,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGTERM');
      await exited;
    },
  };
}

async function moveAround(id: string, address: string): Promise<void> {
  const name = `docker://${address}/demo/hello:1`;
  const plain = ['--dest-tls-verify=false', '--src-tls-verify=false'];
  timed('push to the registry', name, () => {
    buildah('push', '--quiet', '--tls-verify=false', id, name);
    return remoteDigest(name);
  });
  const pushed = remoteDigest(name);
  const inspected = JSON.parse(skopeo('inspect', '--tls-verify=false', name).stdout) as {
    Digest: string;
    Layers: string[];
    Labels: Record<string, string>;
  };
  console.log(
    `  inspect: ${inspected.Digest}, ${inspected.Layers.length} layers, title ${inspected.Labels['org.opencontainers.image.title']}`,
  );
  const route = [
    name,
    `oci:${join(work, 'layout')}:hello`,
    `oci-archive:${join(work, 'hello.tar')}:hello`,
    `docker://${address}/demo/back:1`,
  ];
  for (let at = 1; at < route.length; at += 1) {
    const [from, to] = [route[at - 1] as string, route[at] as string];
    timed(`copy ${scheme(from)} -> ${scheme(to)}`, to.replace(work, '.'), () => {
      skopeo('copy', '--quiet', ...plain, from, to);
      const digest = remoteDigest(to);
      if (digest !== pushed) throw new Error(`${to} has digest ${digest}, the registry ${pushed}`);
      return digest;
    });
  }
}

function runImage(): void {
  timed("run the image's command", 'localhost/hello:latest', () => {
    const container = buildah('from', '--pull-never', 'localhost/hello:latest').stdout.trim();
    const inspected = JSON.parse(buildah('inspect', container).stdout) as {
      OCIv1: { config: { Cmd: string[] } };
    };
    const said = buildah('run', container, '--', ...inspected.OCIv1.config.Cmd);
    buildah('rm', container);
    console.log(said.stdout.trimEnd().replace(/^/gm, '    | '));
    return '';
  });
}

function printSummary(): void {
  const size = directorySize(join(work, 'registry'));
  console.log('\nWhat happened:');
  const rows = [['STEP', 'NAME', 'DIGEST OR ID', 'SECONDS'], ...summary];
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => (row[column] as string).length)));
  for (const row of rows)
    console.log(
      `  ${row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd()}`,
    );
  console.log(
    `\n  The registry holds ${(size / 1e6).toFixed(1)} MB. Every copy kept its digest. ${((Date.now() - started) / 1000).toFixed(1)} s in all.`,
  );
}

function directorySize(path: string): number {
  const listing = spawnSync('du', ['-sk', path], { encoding: 'utf8' });
  return Number.parseInt(listing.stdout, 10) * 1024;
}

function scheme(reference: string): string {
  return reference.slice(0, reference.indexOf(':')).replace('docker', 'registry');
}

function remoteDigest(reference: string): string {
  return (
    JSON.parse(skopeo('inspect', '--tls-verify=false', '--no-tags', reference).stdout) as { Digest: string }
  ).Digest;
}

function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1) as string;
}

async function step(name: string, action: () => Promise<void>): Promise<void> {
  const from = Date.now();
  await action();
  console.log(`  ${name}: ${((Date.now() - from) / 1000).toFixed(2)} s`);
}

function timed(name: string, what: string, action: () => string): string {
  const from = Date.now();
  const result = action();
  const seconds = ((Date.now() - from) / 1000).toFixed(2);
  summary.push([name, what, result.replace(/^sha256:/, '').slice(0, 12), seconds]);
  console.log(`  ${name}: ${seconds} s`);
  return result;
}

function buildah(...args: string[]): { stdout: string; stderr: string } {
  return run('bin/buildah', [...store, ...args]);
}

function skopeo(...args: string[]): { stdout: string; stderr: string } {
  return run('bin/skopeo', ['--insecure-policy', ...args]);
}

function run(command: string, args: string[]): { stdout: string; stderr: string } {
  const done = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 64e6 });
  if (done.error) throw done.error;
  if (done.status !== 0)
    throw new Error(
      `${command} ${args.join(' ')}\nended with ${done.status ?? done.signal}:\n${done.stdout}${done.stderr}`,
    );
  return { stdout: done.stdout, stderr: done.stderr };
}

/** Layers belong to mapped users when not root: the tool that made them removes them. */
function cleanUp(): void {
  if (existsSync(join(work, 'root'))) {
    spawnSync('bin/buildah', [...store, 'rm', '--all'], { stdio: 'ignore' });
    spawnSync('bin/buildah', [...store, 'rmi', '--all', '--force'], { stdio: 'ignore' });
    spawnSync('bin/buildah', ['unshare', 'rm', '-rf', work], { stdio: 'ignore' });
  }
  try {
    rmSync(work, { recursive: true, force: true });
  } catch (error) {
    console.error(`left behind: ${work} (${error instanceof Error ? error.message : String(error)})`);
  }
  if (process.exitCode === undefined)
    console.log('\nNext: npm test, or bin/buildah --help, bin/skopeo --help, bin/slipway --help.');
}
