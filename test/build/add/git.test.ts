import { deepEqual, equal, match, ok, rejects, throws } from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { addToContainer } from '../../../build/add/add.ts';
import type { AddOptions, RemoteOptions } from '../../../build/add/contract.ts';
import { parseGitSource } from '../../../build/add/git-source.ts';
import { fetchRemote } from '../../../build/add/remote.ts';
import type { BuildSurroundings } from '../../../build/container/contract.ts';
import { BuildError } from '../../../build/error.ts';
import { type GitServer, git, hasGit, makeRepository, startGitServer } from '../../support/git-server.ts';
import { sampleContainer } from '../container/sample.ts';

const test = suite('git sources');

const PARSED: readonly [source: string, expected: Partial<ReturnType<typeof parseGitSource>>][] = [
  ['https://h/r.git', { ref: '', directory: '', submodules: false, fetchByCommit: false }],
  ['https://h/r.git#main', { repository: 'https://h/r.git', ref: 'main' }],
  ['https://h/r.git#v1:a/b', { ref: 'v1', directory: 'a/b' }],
  ['https://h/r.git#:a', { ref: '', directory: 'a' }],
  [
    'https://h/r.git?ref=main&subdir=a',
    { repository: 'https://h/r.git', ref: 'main', directory: 'a', submodules: true },
  ],
  ['https://h/r.git?tag=v1', { ref: 'refs/tags/v1' }],
  ['https://h/r.git?branch=b', { ref: 'refs/heads/b' }],
  ['https://h/r.git?commit=abcd', { ref: '', commit: 'abcd' }],
  ['https://h/r.git?ref=main#main', { ref: 'main' }],
  ['https://h/r.git?keep-git-dir&submodules=false', { keepGitDirectory: true, submodules: false }],
  [
    'https://h/r.git?mtime=commit&fetch-by-commit=1&checksum=abcd',
    { commitTimes: true, fetchByCommit: true },
  ],
  ['git@h:r.git#main', { repository: 'git@h:r.git', ref: 'main' }],
];
for (const [source, expected] of PARSED)
  test(source, () => {
    const parsed = parseGitSource(source);
    for (const [key, value] of Object.entries(expected))
      equal(parsed[key as keyof typeof parsed], value, key);
  });

const REFUSED = [
  'https://h/r.git?what=1',
  'https://h/r.git?ref=a&ref=b',
  'https://h/r.git?ref=',
  'https://h/r.git?ref=a#b',
  'https://h/r.git?tag=a&branch=b',
  'https://h/r.git?subdir=a#:b',
  'https://h/r.git?submodules=maybe',
  'https://h/r.git?mtime=now',
  'https://h/r.git?commit=xyz1',
];
for (const source of REFUSED)
  test(`refuses ${source}`, () => throws(() => parseGitSource(source), { code: 'bad-argument' }));

test('SECURITY B11: a ref that git would read as something else is refused', () => {
  for (const ref of [
    '--upload-pack=touch CANARY',
    '-x',
    '+refs/*',
    'a..b',
    'HEAD^{/x}',
    'a b',
    'a\\b',
    'x@{1}',
  ])
    throws(() => parseGitSource(`https://h/r.git#${ref}`), { code: 'bad-argument' });
  throws(() => parseGitSource('https://h/r.git?ref=a:refs/heads/b'), { code: 'bad-argument' });
});

let place = '';
let server: GitServer;
let surroundings: BuildSurroundings;

test.before(async () => {
  if (!hasGit) return;
  place = mkdtempSync(join(tmpdir(), 'slipway-git-test-'));
  const root = join(place, 'repositories');
  makeRepository(join(root, 'inner'), (directory) => writeFileSync(join(directory, 'inner.txt'), 'inner\n'));
  const outer = makeRepository(join(root, 'outer'), (directory) => {
    mkdirSync(join(directory, 'sub'));
    writeFileSync(join(directory, 'sub/file.txt'), 'one\n');
    symlinkSync('/', join(directory, 'escape'));
    git(directory, 'submodule', '--quiet', 'add', '../inner', 'module');
    git(directory, 'config', '-f', '.gitmodules', 'submodule.module.url', '../inner.git');
  });
  git(outer, 'tag', 'v1');
  git(outer, 'checkout', '-q', '-b', 'next');
  writeFileSync(join(outer, 'sub/file.txt'), 'two\n');
  git(outer, 'commit', '-q', '-a', '-m', 'second');
  git(outer, 'checkout', '-q', 'main');
  makeRepository(join(root, 'hostile'), (directory) => {
    writeFileSync(join(place, 'secret.txt'), 'host secret');
    makeRepository(join(place, 'local'), (local) => writeFileSync(join(local, 'local.txt'), 'local\n'));
    git(directory, 'submodule', '--quiet', 'add', `file://${join(place, 'local')}`, 'module');
  });
  server = await startGitServer(root);
  mkdirSync(join(place, 'home'));
  writeFileSync(
    join(place, 'home/.gitconfig'),
    '[url "http://127.0.0.1:1/"]\n\tinsteadOf = http://127.0.0.1\n',
  );
  surroundings = {
    temporaryDirectory: place,
    environment: { PATH: process.env.PATH, HOME: join(place, 'home'), SENTINEL: 'x' },
    docker: {},
    now: () => new Date(),
  } as unknown as BuildSurroundings;
});
test.after(async () => {
  if (!hasGit) return;
  await server[Symbol.asyncDispose]();
  rmSync(place, { recursive: true });
});

function fetched(name: string, options: RemoteOptions = {}) {
  return fetchRemote(`${server.url}/${name}`, { retries: 0, ...options }, surroundings);
}

function testWithGit(name: string, action: () => Promise<void>): void {
  test(name, async () => {
    if (hasGit) await action();
    else console.log(`SKIP ${name}: git is not installed`);
  });
}

for (const [name, expected] of [
  ['outer.git', 'one\n'],
  ['outer.git#next', 'two\n'],
  ['outer.git#v1', 'one\n'],
  ['outer.git?branch=next', 'two\n'],
  ['outer.git?tag=v1', 'one\n'],
] as const)
  testWithGit(`checks out ${name}`, async () => {
    await using content = await fetched(name);
    equal(readFileSync(join(content.directory, content.name, 'sub/file.txt'), 'utf8'), expected);
  });

testWithGit('a commit is fetched by its id, and compared with what a ref leads to', async () => {
  const root = join(place, 'repositories/outer');
  const next = git(root, 'rev-parse', 'next');
  await using content = await fetched(`outer.git?commit=${next}`);
  equal(readFileSync(join(content.directory, content.name, 'sub/file.txt'), 'utf8'), 'two\n');
  await rejects(fetched(`outer.git?ref=main&commit=${next}`), { code: 'bad-option' });
  await rejects(fetched('outer.git', { checksum: next }), { code: 'bad-option' });
  await using _trusted = await fetched(`outer.git?ref=main&commit=${next}&fetch-by-commit`);
});

testWithGit('submodules come with a query alone, dates where they are asked for', async () => {
  await using plain = await fetched('outer.git#main');
  equal(existsSync(join(plain.directory, plain.name, 'module/inner.txt')), false);
  equal(plain.modifiedMs, 0);
  await using queried = await fetched('outer.git?ref=main&mtime=commit&keep-git-dir=true');
  ok(existsSync(join(queried.directory, queried.name, 'module/inner.txt')));
  equal(queried.modifiedMs, Date.parse('2001-02-03T04:05:06Z'));
  equal(queried.keepGitDirectory, true);
  await rejects(fetched('outer.git?keep-git-dir=true', { keepGitDirectory: false }), {
    code: 'bad-argument',
  });
});

testWithGit(
  'SECURITY B12: a submodule of the local disk, the users configuration and its variables are left alone',
  async () => {
    await rejects(
      fetched('hostile.git?ref=main'),
      (error) => error instanceof BuildError && /submodule/.test(error.message),
    );
    await using _reachable = await fetched('outer.git');
  },
);

/** An ssh that runs its command here and notes the keys that its agent holds. */
function fakeSsh(): { readonly path: string; readonly keys: () => string } {
  const directory = mkdtempSync(join(place, 'bin-'));
  const log = join(directory, 'keys');
  const script = `#!/bin/sh\nssh-add -l >>'${log}' 2>&1\nfor last; do :; done\neval "$last"\n`;
  writeFileSync(join(directory, 'ssh'), script, { mode: 0o755 });
  return { path: `${directory}:${process.env.PATH}`, keys: () => readFileSync(log, 'utf8') };
}

testWithGit(
  'a repository behind ssh is read with the keys of --ssh, not with those of the user',
  async () => {
    if (spawnSync('ssh-keygen', ['-?']).error || spawnSync('ssh-agent', ['-?']).error)
      return console.log('SKIP keys of --ssh for git: ssh-keygen and ssh-agent are not installed');
    const key = join(place, 'deploy-key');
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'deploy', '-f', key]);
    const repository = join(place, 'repositories/outer/.git');
    for (const url of [`git@host:${repository}`, `ssh://git@host${repository}`]) {
      const ssh = fakeSsh();
      const own = { ...surroundings, environment: { ...surroundings.environment, PATH: ssh.path } };
      await using content = await fetchRemote(url, { retries: 0, sshPaths: [key] }, own);
      equal(readFileSync(join(content.directory, content.name, 'sub/file.txt'), 'utf8'), 'one\n');
      match(ssh.keys(), /^256 SHA256:\S+ deploy \(ED25519\)$/m);
    }
    deepEqual(
      readdirSync(place).filter((name) => name.startsWith('slipway-')),
      [],
      'the agent is gone',
    );
    await rejects(
      fetchRemote(
        `git@host:${repository}`,
        { retries: 0, sshPaths: [join(place, 'secret.txt')] },
        surroundings,
      ),
      { code: 'bad-mount' },
    );
  },
);

testWithGit('SECURITY B26: a password in a URL is in no message, a credential in no argument', async () => {
  await rejects(
    fetchRemote(`http://user:PASSWORD@${server.host}/none.git`, { retries: 0 }, surroundings),
    (error) => error instanceof BuildError && !error.message.includes('PASSWORD'),
  );
  server.authorizations.length = 0;
  const asked: string[] = [];
  await using content = await fetched('outer.git', {
    authorization: (kind, url) => {
      asked.push(`${kind} ${url.host}`);
      return 'basic U0VDUkVU';
    },
  });
  deepEqual(asked, [`git ${server.host}`]);
  ok(server.authorizations.includes('basic U0VDUkVU'));
  const config = readFileSync(join(content.directory, content.name, '.git/config'), 'utf8');
  equal(config.includes('U0VDUkVU'), false);
  ok(statSync(content.directory).isDirectory());
});

testWithGit('an added repository keeps its .git directory unless it is not wanted', async () => {
  for (const [name, keepGitDirectory, expected] of [
    ['outer.git', undefined, true],
    ['outer.git', false, false],
    ['outer.git?keep-git-dir=false', undefined, false],
  ] as const) {
    const rootfs = mkdtempSync(join(place, 'rootfs-'));
    const store = { rootless: false, layers: { mount: async () => rootfs, unmount: async () => true } };
    const owner = `${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`;
    const given = { ...surroundings, store } as unknown as BuildSurroundings;
    await addToContainer(given, sampleContainer(), '/source/', [`${server.url}/${name}`], {
      contextDirectory: place,
      chown: owner,
      keepGitDirectory,
    });
    equal(existsSync(join(rootfs, 'source/.git')), expected, `${name} ${keepGitDirectory}`);
  }
});

/** What is in the container after ADD of a repository. */
async function added(name: string, options: AddOptions = {}): Promise<string[]> {
  const rootfs = mkdtempSync(join(place, 'rootfs-'));
  const store = { rootless: false, layers: { mount: async () => rootfs, unmount: async () => true } };
  await addToContainer(
    { ...surroundings, store } as unknown as BuildSurroundings,
    sampleContainer(),
    '/source/',
    [`${server.url}/${name}`],
    {
      contextDirectory: place,
      chown: `${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`,
      keepGitDirectory: false,
      ...options,
    },
  );
  const found = execFileSync('find', ['source', '-mindepth', '1'], { cwd: rootfs, encoding: 'utf8' });
  return found
    .split('\n')
    .filter(Boolean)
    .map((path) => path.slice('source/'.length))
    .sort();
}

testWithGit('rules count from the directory of the repository that is added', async () => {
  const rest = ['.gitmodules', 'escape', 'module'];
  deepEqual(await added('outer.git', { excludes: ['sub'] }), rest);
  deepEqual(await added('outer.git', { excludes: ['sub/*.txt'] }), [...rest, 'sub']);
  deepEqual(await added('outer.git#:sub', { excludes: ['sub'] }), ['file.txt']);
  deepEqual(await added('outer.git#:sub', { excludes: ['*.txt'] }), []);
  deepEqual(await added('outer.git#:sub', { excludes: ['*.txt'], gitExcludes: ['x'] }), ['file.txt']);
});

testWithGit('SECURITY B09: no directory of a repository leads out of it', async () => {
  const all = ['.gitmodules', 'escape', 'module', 'sub', 'sub/file.txt'];
  for (const name of [
    'outer.git#:..',
    'outer.git#:sub/../..',
    'outer.git?subdir=..&submodules=0',
    'outer.git#:escape',
  ])
    deepEqual(await added(name), all, name);
  deepEqual(await added('outer.git#:escape/sub'), ['file.txt']);
  for (const name of ['outer.git#:../repository', 'outer.git#:escape/etc', 'outer.git#:sub/file.txt'])
    await rejects(added(name), { code: 'missing-file' }, name);
});

test.run();
