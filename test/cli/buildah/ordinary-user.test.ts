// Builds without RUN by a user who is not root and has no user namespace: no mounts, no privileges.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';

const test = suite('buildah as an ordinary user without user namespaces');
const directory = mkdtempSync(join(tmpdir(), 'slipway-ordinary-'));
test.after(() => rmSync(directory, { recursive: true, force: true }));

const isRoot = process.getuid?.() === 0;
const own = isRoot ? { uid: 12345, gid: 12346 } : {};
if (isRoot) chownSync(directory, 12345, 12346);
chmodSync(directory, 0o755);

const at = (...names: string[]) => join(directory, ...names);

/** The marker says that a namespace was set up, so that none is tried. */
const environment = {
  PATH: process.env.PATH,
  HOME: directory,
  TMPDIR: directory,
  XDG_RUNTIME_DIR: directory,
  _CONTAINERS_USERNS_CONFIGURED: 'done',
};

function buildah(...words: string[]) {
  const store = ['--root', at('root'), '--runroot', at('run')];
  return spawnSync('bin/buildah', [...store, ...words], { ...own, env: environment, encoding: 'utf8' });
}

function ok(...words: string[]): string {
  const done = buildah(...words);
  assert.equal(done.status, 0, done.stderr);
  return done.stdout.trim();
}

/** `mode owner/group path` of every entry of every layer of an image. */
function entries(image: string): string[] {
  ok('push', '--quiet', image, `dir:${at('pushed')}`);
  const manifest = JSON.parse(readFileSync(at('pushed', 'manifest.json'), 'utf8'));
  const lines = manifest.layers.flatMap(({ digest }: { digest: string }) =>
    execFileSync('tar', ['--numeric-owner', '-tvf', at('pushed', digest.slice('sha256:'.length))], {
      encoding: 'utf8',
    }).split('\n'),
  );
  rmSync(at('pushed'), { recursive: true });
  return lines
    .filter(Boolean)
    .map((line: string) =>
      line.replace(
        /^(\S+) (\S+)\s+\S+ \S+ \S+ (.*)$/,
        (_all, mode, owner, path) => `${mode} ${owner} ${path}`,
      ),
    );
}

function context(files: Readonly<Record<string, string>>): string {
  const path = mkdtempSync(at('context-'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  chmodSync(path, 0o755);
  return path;
}

test('owners and modes that cannot be set stand in the image all the same', () => {
  const path = context({
    Containerfile: `FROM scratch AS maker
COPY plain /plain
COPY --chown=1000:1001 owned /made/owned
COPY --chmod=000 closed /made/closed
COPY --chmod=4755 setuid /made/setuid
FROM scratch
COPY --from=maker / /
WORKDIR /work
`,
    plain: 'p',
    owned: 'o',
    closed: 'c',
    setuid: 's',
  });
  ok('build', '--quiet', '-t', 'made', path);
  const found = entries('made');
  for (const line of [
    '-rw-r--r-- 0/0 plain',
    '-rw-r--r-- 1000/1001 made/owned',
    '---------- 0/0 made/closed',
    '-rwsr-xr-x 0/0 made/setuid',
    'drwxr-xr-x 0/0 work/',
  ])
    assert.ok(found.includes(line), `${line}\nin\n${found.join('\n')}`);
});

test('another image is built on, step by step, with its owners, and read back equal', () => {
  const path = context({
    Containerfile: 'FROM localhost/made\nCOPY --chown=7 more /made/more\nUSER 1000\nLABEL a=b\n',
    more: 'm',
  });
  ok('build', '--quiet', '--layers', '-t', 'more', path);
  assert.match(ok('build', '--layers', '-t', 'more', path), /Using cache/);
  const found = entries('more');
  assert.ok(found.includes('-rw-r--r-- 7/7 made/more'), found.join('\n'));
  assert.ok(found.includes('-rw-r--r-- 1000/1001 made/owned'), found.join('\n'));
  ok('push', '--quiet', 'more', `oci-archive:${at('more.tar')}:more`);
  ok('rmi', '--all', '--force');
  ok('pull', '--quiet', `oci-archive:${at('more.tar')}`);
  const container = ok('from', `oci-archive:${at('more.tar')}`);
  ok('copy', '--quiet', '--chown', '9:9', container, join(path, 'more'), '/again');
  ok('commit', '--quiet', '--rm', container, 'again');
  const again = entries('again');
  assert.ok(again.includes('-rw-r--r-- 9/9 again'), again.join('\n'));
  assert.equal(again.filter((line) => line.endsWith(' made/owned')).length, 1);
});

test('the result can be written as files, owned by the user', () => {
  const path = context({ Containerfile: 'FROM scratch\nCOPY --chown=5:5 f /f\n', f: 'x' });
  ok('build', '--quiet', '--output', `type=tar,dest=${at('out.tar')}`, path);
  const listing = execFileSync('tar', ['--numeric-owner', '-tvf', at('out.tar')], { encoding: 'utf8' });
  assert.match(listing, / 5\/5 .* f$/m);
});

test('RUN says what is missing', () => {
  mkdirSync(at('empty'), { recursive: true });
  const path = context({ Containerfile: 'FROM scratch\nRUN true\n' });
  const done = buildah('build', path);
  assert.equal(done.status, 125);
  assert.match(done.stderr, /user namespace/);
  assert.equal(
    done.stderr
      .trim()
      .split('\n')
      .filter((line) => line.startsWith('Error')).length,
    1,
  );
});

test.run();
