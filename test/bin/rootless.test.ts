import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { namespaceIds, needsUserNamespace } from '../../bin/rootless.ts';

const test = suite('rootless');
const UID = 61_234;
const project = join(import.meta.dirname, '../..');

test('subordinate ids follow root one behind the other, by name and by number', () => {
  const user = { name: 'me', uid: 1000, gid: 100 };
  const { uids, gids } = namespaceIds(
    user,
    'you:1:1\nme:100000:65536\n1000:300000:10\nme:x:5\nme:7',
    'you:5:5',
  );
  assert.deepEqual(uids, [
    { inside: 0, outside: 1000, count: 1 },
    { inside: 1, outside: 100_000, count: 65_536 },
    { inside: 65_537, outside: 300_000, count: 10 },
  ]);
  assert.deepEqual(gids, [{ inside: 0, outside: 100, count: 1 }]);
});

test('who is inside already needs nothing', () => {
  assert.equal(needsUserNamespace({ _CONTAINERS_USERNS_CONFIGURED: '1' }), false);
});

/** As an ordinary user: the caller, or one that root turns into. */
function asUser(script: string, home: string) {
  const words = ['--disable-warning=ExperimentalWarning', script];
  const env = { PATH: process.env.PATH, HOME: home };
  const identity = process.getuid?.() === 0 ? { uid: UID, gid: UID } : {};
  return spawnSync(process.execPath, words, { encoding: 'utf8', env, cwd: '/', ...identity });
}

const possible = spawnSync('unshare', ['--user', 'true'], {
  ...(process.getuid?.() === 0 ? { uid: UID, gid: UID } : {}),
});
const reason = possible.status === 0 ? undefined : String(possible.stderr || possible.error).trim();
const it = (name: string, body: () => void) => {
  if (reason === undefined) return test(name, body);
  console.log(`SKIP ${name}: no user namespaces: ${reason}`);
  test.skip(name, body);
};

const PRELUDE = `
import { enterUserNamespace, needsUserNamespace } from ${JSON.stringify(join(project, 'bin/rootless.ts'))};
const [program, ...rest] = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
if (needsUserNamespace(process.env)) {
  enterUserNamespace({ command: [program, ...rest], environment: process.env, onWarning: (text) => console.error(text) });
}
`;

it('an ordinary user becomes root inside, with the same process id', () => {
  const home = mkdtempSync(join(tmpdir(), 'rootless-'));
  chmodSync(home, 0o755);
  const script = join(home, 'inside.ts');
  writeFileSync(
    script,
    `console.log('pid', process.pid);${PRELUDE}
     console.log(process.getuid(), process.env._CONTAINERS_ROOTLESS_UID, Boolean(process.env.XDG_RUNTIME_DIR));
     process.exit(9);`,
  );
  const { stdout, status } = asUser(script, home);
  const lines = stdout.trim().split('\n');
  assert.equal(status, 9);
  assert.equal(lines[0], lines[1]);
  assert.match(lines[2] ?? '', /^0 [0-9]+ true$/);
  rmSync(home, { recursive: true });
});

it('RUN works inside with chroot isolation', () => {
  const home = mkdtempSync(join(tmpdir(), 'rootless-'));
  chmodSync(home, 0o777);
  mkdirSync(join(home, 'rootfs'), { mode: 0o777 });
  chmodSync(join(home, 'rootfs'), 0o777);
  const script = join(home, 'run.ts');
  writeFileSync(
    script,
    `${PRELUDE}
     const { runCommand } = await import(${JSON.stringify(join(project, 'build/run/run.ts'))});
     const { makeRootfs } = await import(${JSON.stringify(join(project, 'test/support/rootfs.ts'))});
     const rootfs = makeRootfs(${JSON.stringify(join(home, 'tree'))});
     const { exitCode } = await runCommand({ rootfs, stateDirectory: ${JSON.stringify(join(home, 'state'))},
       args: ['sh', '-c', 'id -u; touch /made; cat /proc/self/attr/none 2>/dev/null; exit 4'], environment: ['PATH=/bin'],
       workingDirectory: '/', user: '', mounts: [], isolation: 'chroot', network: { mode: 'host' },
       capabilities: { add: [], drop: [] }, stdin: 'ignore', stdout: 'inherit', stderr: 'inherit' });
     console.log('exit', exitCode);
     await runCommand({ rootfs, stateDirectory: ${JSON.stringify(join(home, 'state'))}, args: ['true'],
       environment: [], workingDirectory: '/', user: '4711', mounts: [], isolation: 'chroot', network: { mode: 'host' },
       capabilities: { add: [], drop: [] } }).catch((error) => console.log(error.code));`,
  );
  const { stdout, stderr } = asUser(script, home);
  assert.match(stdout, /^0\nexit 4\n/, stderr);
  if (/single mapping/.test(stderr)) assert.match(stdout, /\nbad-user\n$/);
  rmSync(home, { recursive: true });
});

it('an owner that the namespace has no id for is told with what to do', () => {
  const home = mkdtempSync(join(tmpdir(), 'rootless-'));
  chmodSync(home, 0o777);
  writeFileSync(join(home, 'Containerfile'), 'FROM scratch\nCOPY --chown=5:7 Containerfile /etc/f\n');
  const env = { PATH: process.env.PATH, HOME: home, XDG_RUNTIME_DIR: home };
  const identity = process.getuid?.() === 0 ? { uid: UID, gid: UID } : {};
  const { status, stderr } = spawnSync(join(project, 'bin/buildah'), ['build', '--quiet', home], {
    ...{ encoding: 'utf8', env, cwd: home },
    ...identity,
  });
  if (/single mapping/.test(stderr)) {
    assert.equal(status, 125);
    assert.match(
      stderr,
      /": potentially insufficient UIDs or GIDs available in user namespace \(requested 5:7\) \(Give .* \/etc\/subuid and \/etc\/subgid\.\)\n$/,
    );
  } else assert.equal(status, 0, stderr);
  rmSync(home, { recursive: true });
});

it('what may not be read in a context is told with its path, step and line', () => {
  const home = mkdtempSync(join(tmpdir(), 'rootless-'));
  chmodSync(home, 0o777);
  for (const name of ['directory', 'sub']) mkdirSync(join(home, name));
  mkdirSync(join(home, 'sub/closed'), { mode: 0 });
  writeFileSync(join(home, 'file'), '', { mode: 0 });
  chmodSync(join(home, 'directory'), 0);
  const env = { PATH: process.env.PATH, HOME: home, XDG_RUNTIME_DIR: home };
  const identity = process.getuid?.() === 0 ? { uid: UID, gid: UID } : {};
  for (const [source, path] of [
    ['file', 'file'],
    ['directory', 'directory'],
    ['sub', 'sub/closed'],
  ] as const) {
    writeFileSync(join(home, 'Containerfile'), `FROM scratch\nCOPY ${source} /to/\n`);
    const options = { encoding: 'utf8', env, cwd: home, ...identity } as const;
    const { status, stderr } = spawnSync(join(project, 'bin/buildah'), ['build', '--quiet', '.'], options);
    assert.equal(status, 125);
    const said = `Error: building at STEP "COPY ${source} /to/": reading "${path}": permission denied (Containerfile:2)`;
    assert.ok(stderr.includes(said), stderr);
  }
  rmSync(home, { recursive: true });
});

it('where unshare is missing, the reason is told and nothing is executed', () => {
  const home = mkdtempSync(join(tmpdir(), 'rootless-'));
  chmodSync(home, 0o755);
  const script = join(home, 'missing.ts');
  writeFileSync(
    script,
    `process.env.PATH = '/nowhere';
     try {${PRELUDE.replace(/import.*\n/, '')} } catch (error) { console.log(error.code, error.message); }`.replace(
      /^/,
      `import { enterUserNamespace, needsUserNamespace } from ${JSON.stringify(join(project, 'bin/rootless.ts'))};\n`,
    ),
  );
  assert.match(asUser(script, home).stdout, /^no-user-namespace .*unshare/);
  rmSync(home, { recursive: true });
});

test.run();
