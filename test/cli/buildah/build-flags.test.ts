import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { openBuildah } from '../../support/buildah-command.ts';

const test = suite('buildah build: flags, good and bad, as scripts see them');
const programs = mkdtempSync(join(tmpdir(), 'slipway-cpp-'));
const {
  directory: base,
  run,
  ok,
  remove,
} = openBuildah('build-flags', {
  environment: { PATH: `${programs}:${process.env.PATH}` },
});
const dated = openBuildah('build-flags-dated', { environment: { SOURCE_DATE_EPOCH: '1000000000' } });
test.before(() => {
  writeFileSync(join(programs, 'cpp'), '#!/bin/sh\necho "cpp: broken" >&2\nexit 7\n', { mode: 0o755 });
  for (const directory of [base, dated.directory]) {
    mkdirSync(join(directory, 'context'));
    writeFileSync(join(directory, 'context/Containerfile'), 'FROM scratch\nCOPY file /\n');
    writeFileSync(join(directory, 'context/file'), 'content');
  }
});
test.after(async () => {
  await remove();
  await dated.remove();
  rmSync(programs, { recursive: true });
});

const small = join(base, 'small');
const mountSmall = () => {
  const words = ['-t', 'tmpfs', '-o', 'size=1500k', 'none', small];
  return spawnSync('mount', words).status === 0;
};
mkdirSync(small);
const canMount = mountSmall();
if (canMount) execFileSync('umount', [small]);
rmSync(small, { recursive: true });
const withSmallDisk = canMount ? test : test.skip;
if (!canMount) console.log('SKIP an output for which the disk has no room: mounting needs root');

const MISUSES: readonly (readonly [flag: string, value: string, message: RegExp])[] = [
  ['--platform', '', /^Error: building system context: unable to parse --platform value \[\]$/],
  [
    '--platform',
    'a/b/c/d',
    /^Error: building system context: invalid platform syntax for --platform="a\/b\/c\/d"/,
  ],
  ['--format', '', /^Error: unrecognized image type ""$/],
  ['--format', 'v2s2', /^Error: unrecognized image type "v2s2"$/],
  ['--label', '', /LABEL requires at least one argument$/],
  ['--label', '=value', /LABEL requires at least one argument$/],
  ['--cache-from', 'BAD', /to --cache-from: invalid repo "BAD": must contain registry and repository/],
  ['--cache-to', 'host.example/x:tag', /to --cache-to: repository must contain neither a tag nor digest/],
  ['--add-host', 'name', /^Error: invalid value for add-host: bad format for add-host: "name"$/],
  ['--build-context', '=dir', /parsing additional build context: \["" "dir"\], accepts value/],
  ['--build-arg-file', 'missing', /^Error: open missing: no such file or directory$/],
  ['--build-arg-file', '.', /^Error: read \.: is a directory$/],
  ['--logfile', '', /^Error: opening log file: open : no such file or directory$/],
  ['--logfile', '.', /^Error: opening log file: open \.: is a directory$/],
  ['--iidfile', '.', /^Error: failed to write image ID to file "\.": open \.: is a directory$/m],
  [
    '--metadata-file',
    '/no/m',
    /^Error: failed to write image metadata to file "\/no\/m": open \/no\/m: no such/m,
  ],
  ['--ssh', `id=${base}/context/file`, /cannot parse ssh key: ssh: no key found/],
  ['--secret', 'src=file', /^Error: creating build executor: incorrect secret flag format/],
  [
    '--retry-delay',
    '5',
    /unable to parse value provided "5" as --retry-delay: time: missing unit in duration "5"/,
  ],
  ['--cap-add', 'bogus', /"CAP_BOGUS": unknown capability$/],
];
for (const [flag, value, message] of MISUSES)
  test(`${flag} ${JSON.stringify(value)} is an error of one line`, async () => {
    const { code, err } = await run('build', flag, value, 'context');
    assert.equal(code, 125);
    assert.match(err, message);
    assert.match(err.split('\n').pop() as string, /^Error: /);
  });

test('an empty value of a flag that a pipeline fills from a variable is as if it were not given', async () => {
  const flags = ['secret', 'ssh', 'security-opt', 'authfile', 'ignorefile', 'iidfile', 'retry-delay'];
  const out = await ok('build', ...flags.flatMap((flag) => [`--${flag}`, '']), 'context');
  assert.match(out, /^--> [0-9a-f]{12}$/m);
});

test('a bad name for the list is told before anything is built', async () => {
  const { code, out, err } = await run('build', '--manifest', 'UPPER', 'context');
  assert.equal(code, 125);
  assert.equal(out, '');
  assert.match(err, /must be lowercase/);
});

test('a fixed date beside SOURCE_DATE_EPOCH is ambiguous', async () => {
  const { code, err } = await dated.run('build', '--timestamp', '5', 'context');
  assert.equal(code, 125);
  assert.match(err, /timestamp and source-date-epoch would be ambiguous if allowed together/);
});

test('with --logsplit the lines of transfers are in the log of their platform', async () => {
  const platforms = ['linux/amd64', 'linux/arm64'];
  await ok('build', '--logfile', 'log', '--logsplit', '--platform', platforms.join(','), 'context');
  assert.equal(readFileSync(join(base, 'log'), 'utf8'), '');
  for (const platform of platforms)
    assert.match(
      readFileSync(join(base, `log_${platform.replace('/', '_')}`), 'utf8'),
      /^\[linux\/\w+\] COMMIT\nGetting image source signatures\n(Copying .*\n)+Writing manifest to image destination\n--> /m,
    );
});

test('an output that cannot be written is told before the image counts as tagged', async () => {
  const { code, out, err } = await run('build', '-t', 'named', '-o', 'type=tar,dest=none/x.tar', 'context');
  assert.equal(code, 125);
  assert.doesNotMatch(out, /Successfully tagged/);
  const path = join(base, 'none/x.tar');
  assert.match(err, /failed to export build output: failed while creating destination tar at "/);
  assert.ok(err.endsWith(`open ${path}: no such file or directory`) || err.includes(`open '${path}'`), err);
  assert.ok(!existsSync(path));
});

withSmallDisk(
  'an output for which the disk has no room leaves what was there, and nothing of its own',
  async () => {
    mkdirSync(join(base, 'large'));
    for (const name of ['a', 'b']) writeFileSync(join(base, 'large', name), randomBytes(1 << 20));
    writeFileSync(join(base, 'large/Containerfile'), 'FROM scratch\nCOPY a b /\n');
    mkdirSync(small);
    assert.ok(mountSmall());
    try {
      writeFileSync(join(small, 'x.tar'), 'before');
      for (const [output, said] of [
        ['type=tar,dest=small/x.tar', `write ${small}/x.tar`],
        ['type=local,dest=small/made', `writing ${small}/made: cannot unpack "b": write`],
      ] as const) {
        const { code, err } = await run('build', '-q', '-o', output, 'large');
        assert.equal(code, 125);
        assert.equal(err, `Error: failed to export build output: ${said}: no space left on device`);
        assert.deepEqual(readdirSync(small), ['x.tar']);
        assert.equal(readFileSync(join(small, 'x.tar'), 'utf8'), 'before');
      }
    } finally {
      execFileSync('umount', [small]);
    }
    await ok('build', '-q', '-o', 'type=tar,dest=x.tar', 'large');
    assert.deepEqual(
      readdirSync(base).filter((name) => name.startsWith('x.tar')),
      ['x.tar'],
    );
    assert.equal(execFileSync('tar', ['tf', join(base, 'x.tar')], { encoding: 'utf8' }), 'a\nb\n');
  },
);

test('what the preprocessor says is a warning, and its exit code that of the build', async () => {
  writeFileSync(join(base, 'context/File.in'), 'FROM scratch\n');
  const { code, err } = await run('build', '--cpp-flag=-fail', '-f', 'context/File.in', 'context');
  assert.equal(code, 7);
  assert.match(err, /^time="[^"]+" level=warning msg="Ignoring cpp: broken"$/m);
  assert.match(
    err,
    /^Error: preprocessing context\/File\.in: preprocessor produced no output: cpp: broken$/m,
  );
});

test.run();
