// What reaches a build from outside as a context: SECURITY B09, B10, B31, B32.
import { equal, ok, rejects } from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { suite } from 'uvu';
import type { BuildSurroundings } from '../../../build/container/contract.ts';
import { BuildError } from '../../../build/error.ts';
import { fetchContext, readContext } from '../../../build/exec/fetch-context.ts';
import { readIgnoreFile } from '../../../build/exec/ignore-file.ts';
import { SlipwayError } from '../../../errors.ts';
import { openBuildPlace } from '../../support/build-place.ts';
import { hasGit, makeRepository, startGitServer } from '../../support/git-server.ts';
import { tarOf } from '../../support/tar.ts';

const test = suite('SECURITY: contexts');
const place = mkdtempSync(join(tmpdir(), 'slipway-security-context-'));
const victim = join(place, 'victim');
const SECRET = 'a secret of the host';
mkdirSync(victim);
writeFileSync(join(victim, 'secret'), SECRET);
test.after(() => rmSync(place, { recursive: true, force: true }));

const surroundings = {
  temporaryDirectory: place,
  environment: { PATH: process.env.PATH },
  docker: {},
  now: () => new Date(),
} as unknown as BuildSurroundings;

/** The victim holds what it held, and nothing more. */
function checkVictim(): void {
  equal(readFileSync(join(victim, 'secret'), 'utf8'), SECRET);
  equal(readdirSync(victim).length, 1);
}

test('SECURITY B09: a directory behind # that leads out of a repository is refused', async () => {
  if (!hasGit) return console.log('SKIP B09: git is not installed');
  const root = join(place, 'repositories');
  makeRepository(join(root, 'r'), (directory) => {
    writeFileSync(join(directory, 'Containerfile'), 'FROM scratch\n');
    symlinkSync('/', join(directory, 'up'));
    symlinkSync(victim, join(directory, 'straight'));
  });
  await using server = await startGitServer(root);
  mkdirSync(join(place, 'b09'));
  const { build } = openBuildPlace(join(place, 'b09'), join(root, 'r'));
  for (const directory of [`up${victim}`, 'straight', '../../victim', `up/../${victim}`]) {
    const url = `${server.url}/r.git#main:${directory}`;
    try {
      await using context = await fetchContext(url, surroundings);
      ok(!existsSync(join(context.directory, 'secret')), directory);
    } catch (error) {
      ok(error instanceof BuildError || (error as NodeJS.ErrnoException).code === 'ENOENT', String(error));
    }
    await rejects(build(`FROM scratch\nADD ${url} /x/\n`), (error) => !String(error).includes(SECRET));
  }
  checkVictim();
});

const HOSTILE: readonly (readonly [name: string, entries: Parameters<typeof tarOf>[0]])[] = [
  ['a path upwards', [{ name: '../victim/x', body: 'x' }]],
  ['an absolute path', [{ name: `${victim}/x`, body: 'x' }]],
  [
    'a link, then a file through it',
    [
      { name: 'l', linkname: victim },
      { name: 'l/x', body: 'x' },
    ],
  ],
  [
    'two links',
    [
      { name: 'a', linkname: '..' },
      { name: 'b', linkname: 'a/victim' },
      { name: 'b/x', body: 'x' },
    ],
  ],
  [
    'a hard link to a file outside',
    [
      { name: 'h', linkname: `${victim}/secret`, type: '1' },
      { name: 'h', body: 'x' },
    ],
  ],
  [
    'a directory that becomes a link',
    [{ name: 'd/' }, { name: 'd', linkname: victim }, { name: 'd/x', body: 'x' }],
  ],
];
for (const [name, entries] of HOSTILE)
  test(`SECURITY B32: a context archive with ${name} stays inside`, async () => {
    const archive = tarOf([{ name: 'Containerfile', body: 'FROM scratch\n' }, ...entries]);
    try {
      await using context = await readContext(Readable.from([archive]), surroundings);
      ok(realpathSync(context.directory).startsWith(realpathSync(place)));
    } catch (error) {
      ok(error instanceof BuildError, String(error));
    }
    checkVictim();
  });

function brokenArchive(): Buffer {
  const whole = tarOf([{ name: 'Dockerfile', linkname: join(victim, 'secret') }]);
  return Buffer.concat([whole.subarray(0, 512), Buffer.from('FROM scratch\n'.repeat(100))]);
}

test('SECURITY B10: a context archive that breaks off fails, and nothing is written through what it left', async () => {
  await rejects(readContext(Readable.from([brokenArchive()]), surroundings), { code: 'bad-argument' });
  let requests = 0;
  const server = createServer((_, response) => {
    requests += 1;
    response.end(requests === 1 ? brokenArchive() : 'FROM scratch\n');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/context`;
    await rejects(fetchContext(url, surroundings), { code: 'bad-argument' });
    await using second = await fetchContext(url, surroundings);
    ok(lstatSync(join(second.directory, 'Dockerfile')).isFile());
  } finally {
    server.closeAllConnections();
    server.close();
  }
  checkVictim();
  const left = readdirSync(place).filter((name) => /^slipway-(?:context|stdin|add)-/.test(name));
  equal(left.length, 0, left.join());
});

test('SECURITY B31: a fifo or a directory as ignore file is an error, not a wait', async () => {
  for (const name of ['.dockerignore', '.containerignore']) {
    const context = mkdtempSync(join(place, 'ignore-'));
    execFileSync('mkfifo', [join(context, name)]);
    await rejects(async () => readIgnoreFile(context, {}), { code: 'bad-context' });
    rmSync(join(context, name));
    mkdirSync(join(context, name));
    await rejects(async () => readIgnoreFile(context, {}), { code: 'bad-context' });
  }
});

test('rows of COPY and of contexts: what is missing or leads out is an error that names it', async () => {
  const context = mkdtempSync(join(place, 'rows-'));
  for (const name of ['a', '[b]']) writeFileSync(join(context, name), name);
  symlinkSync(join(victim, 'secret'), join(context, 'out'));
  mkdirSync(join(place, 'rows'));
  const { build } = openBuildPlace(join(place, 'rows'), context);
  const refused: readonly (readonly [copy: string, why: RegExp])[] = [
    ['COPY none* /', /none\*/],
    ['COPY none /', /none/],
    ['COPY out /', /out/],
    ['COPY ../victim/secret /', /victim/],
    [`COPY ${victim}/secret /`, /secret/],
    ['COPY --chown=nobody-here a /', /nobody-here/],
    ['COPY --chown=4294967296 a /', /4294967296/],
    ['COPY --chown=-1 a /', /-1/],
    ['COPY --chown=0x10:1e3 a /', /0x10/],
    ['COPY --chmod=99999 a /', /99999/],
    ['COPY --from=7 a /', /7/],
    ['COPY [ a /', /\[/],
  ];
  for (const [copy, why] of refused)
    await rejects(build(`FROM scratch\n${copy}\n`), (error) => {
      ok(error instanceof SlipwayError, `${copy}: ${String(error)}`);
      ok(why.test(error.message), error.message);
      ok(!error.message.includes(SECRET) && !error.message.includes('\n'), error.message);
      return true;
    });
  await build('FROM scratch\nCOPY \\[b\\] a [[]b] /x/\nCOPY /a ./a /y/\n');
  checkVictim();
});

test.run();
