import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import { buildah } from '../../../bin/buildah.ts';
import { openBuildah } from '../../support/buildah-command.ts';

const test = suite('buildah on the command line');
const { directory: base, run, ok, remove } = openBuildah('cli');
test.after(remove);

// An ordinary user may not change owners, which adding files does.
const asRoot = process.getuid?.() === 0 ? test : test.skip;
if (process.getuid?.() !== 0)
  console.log('SKIP buildah on the command line: adding files to a container needs root');

asRoot('from scratch to an image and back', async () => {
  assert.equal(await ok('from', 'scratch'), 'working-container');
  assert.equal(await ok('from', 'scratch'), 'working-container-1');
  writeFileSync(join(base, 'file'), 'x');
  assert.match(await ok('copy', 'working-container', 'file', '/etc/file'), /^[0-9a-f]{64}$/);
  await ok('config', '--env', 'A=b', '--label', 'c=d', '--cmd', 'run me', 'working-container');
  const id = await ok('commit', '--quiet', 'working-container', 'app');
  assert.match(id, /^[0-9a-f]{64}$/);
  assert.equal(await ok('inspect', '--format', '{{.OCIv1.Config.Env}}', 'app'), '[A=b]');
  assert.match(await ok('images'), /^REPOSITORY\s+TAG\s+IMAGE ID\s+CREATED\s+SIZE\nlocalhost\/app\s+latest/);
  assert.equal(await ok('images', '-q'), id.slice(0, 12));
  assert.equal(await ok('from', 'app'), 'app-working-container');
  assert.equal(await ok('rename', 'app-working-container', 'work'), '');
  assert.match(
    await ok('containers', '--format', '{{.ContainerName}} {{.ImageName}}'),
    /^work {18}localhost\/app:latest$/m,
  );
});

test('--add-host takes addresses alone', async () => {
  for (const host of ['a:999.1.1.1', 'a:1.2.3', 'a:fe80::1%eth0', 'a:x:y', 'a:']) {
    const { code, err } = await run('from', '--add-host', host, 'scratch');
    assert.equal(code, 125, host);
    assert.match(err, /^Error: invalid value for add-host: /, host);
  }
});

asRoot('the container of a step that fails is kept where --force-rm=false asks for it', async () => {
  writeFileSync(join(base, 'failing'), 'FROM scratch\nCOPY file /\nCOPY nothing /\n');
  writeFileSync(join(base, 'file'), 'x');
  const containers = async () => (await ok('containers', '-q')).split('\n').filter(Boolean);
  const before = await containers();
  const added = async () => (await containers()).filter((id) => !before.includes(id));
  for (const [words, left] of [
    [['--layers'], 0],
    [['--layers', '--force-rm'], 0],
    [['--no-cache', '--force-rm=false'], 0],
    [['--layers', '--force-rm=false'], 1],
  ] as const) {
    assert.equal((await run('build', ...words, '-f', 'failing', '.')).code, 125);
    assert.equal((await added()).length, left, words.join(' '));
  }
  const [name = ''] = await added();
  const root = await ok('mount', name);
  assert.deepEqual(readdirSync(root), ['file']);
  await ok('umount', name);
  await ok('rm', name);
});

test('a log file that cannot be written is one line, not a crash', async () => {
  writeFileSync(join(base, 'Containerfile'), 'FROM scratch\nLABEL a=b\n');
  for (const [flag, path, reason] of [
    ['--logfile', join(base, 'none/log'), 'opening log file: open .*none/log: no such file or directory'],
    ['--logfile', '/dev/full', 'write /dev/full: no space left on device'],
  ] as const) {
    const { code, err } = await run('build', flag, path, '.');
    assert.equal(code, 125);
    assert.match(err, new RegExp(`^Error: ${reason}$`));
  }
});

asRoot('builds and commits tell what they write, and a log file takes the id', async () => {
  writeFileSync(join(base, 'Containerfile'), 'FROM scratch\nCOPY file /\n');
  writeFileSync(join(base, 'file'), 'x');
  const copied =
    /^Getting image source signatures\nCopying blob sha256:.*\nCopying config sha256:.*\nWriting manifest to image destination$/m;
  assert.match((await run('build', '.')).err, copied);
  for (const quiet of ['--layers', '--no-cache', '--quiet'])
    assert.equal((await run('build', quiet, '.')).err, '', quiet);
  await ok('from', '--name', 'told', 'scratch');
  assert.match((await run('commit', 'told')).err, /^Getting image source signatures\n/);
  await ok('rm', 'told');
  const logged = await run('build', '--logfile', join(base, 'log'), '.');
  assert.deepEqual(logged, { code: 0, out: '', err: '' });
  assert.match(readFileSync(join(base, 'log'), 'utf8'), copied);
  assert.match(readFileSync(join(base, 'log'), 'utf8'), /\n[0-9a-f]{64}\n$/);
});

asRoot('a build for several platforms prints the id of each image', async () => {
  writeFileSync(join(base, 'Containerfile'), 'FROM scratch\nCOPY file /\n');
  writeFileSync(join(base, 'file'), 'x');
  const platforms = ['--platform', 'linux/amd64,linux/arm64', '--manifest', 'several'];
  const ids = (await ok('build', '--quiet', ...platforms, '.')).split('\n');
  assert.equal(ids.length, 2);
  assert.equal(await ok('inspect', '--format', '{{.OCIv1.Architecture}}', ids[1] ?? ''), 'arm64');
  await ok('manifest', 'rm', 'several');
});

asRoot('each further tag of a build stands before the ones that are there', async () => {
  writeFileSync(join(base, 'Containerfile'), 'FROM scratch\nLABEL tags=three\n');
  const lines = (await ok('build', '-t', 'one', '-t', 'two', '-t', 'three', '.')).split('\n');
  const tagged = lines.filter((line) => line.startsWith('Successfully tagged'));
  assert.deepEqual(
    tagged.map((line) => line.replace(/.*localhost\//, '')),
    ['three:latest', 'two:latest', 'one:latest'],
  );
});

test('what build refuses before it starts', async () => {
  writeFileSync(join(base, 'Containerfile'), 'FROM scratch\nLABEL a=b\n');
  for (const [words, reason] of [
    [['.', '-t', 'late'], 'accepts at most 1 arg(s), received 3'],
    [['-t', 'a', '-t', 'oci:there', '.'], 'normalizing name "oci:there": invalid reference format'],
    [['--platform', 'nonsense', '.'], 'unknown operating system or architecture'],
    [['--build-arg-file', 'nowhere', '.'], 'open .*nowhere: no such file or directory'],
    [['--source-policy-file', 'nowhere', '.'], 'open .*nowhere: no such file or directory'],
  ] as const) {
    const { code, out, err } = await run('build', ...words);
    assert.deepEqual([code, out], [125, ''], words.join(' '));
    assert.match(err, new RegExp(`^Error: .*${reason.replaceAll(/[()]/g, '\\$&')}`), words.join(' '));
  }
});

test('add --checksum takes a digest that can be checked alone', async () => {
  await ok('from', '--name', 'checked', 'scratch');
  writeFileSync(join(base, 'checked'), 'FROM scratch\nADD --checksum=nonsense http://127.0.0.1:1/f /\n');
  const reason = 'invalid checksum flag: invalid digest "nonsense": not of the form algorithm:hex';
  for (const [words, prefix, place] of [
    [
      ['add', '--checksum', 'nonsense', 'checked', 'http://127.0.0.1:1/f'],
      'adding content to container "checked"',
      '',
    ],
    [
      ['build', '-f', 'checked', '.'],
      'building at STEP "ADD --checksum=nonsense http://127.0.0.1:1/f /"',
      ' (checked:2)',
    ],
  ] as const) {
    const { code, err } = await run(...words);
    assert.equal(code, 125);
    assert.equal(err, `Error: ${prefix}: ${reason}${place}`);
  }
});

const REFUSED: readonly (readonly [string, string])[] = [
  ['manifest add x', 'requires at least 2 arg(s), only received 1'],
  ['manifest annotate', 'accepts between 1 and 2 arg(s), received 0'],
  ['manifest inspect', 'requires at least 1 arg(s), only received 0'],
  ['manifest push', 'requires at least 1 arg(s), only received 0'],
  ['manifest remove x', 'requires at least 2 arg(s), only received 1'],
  ['version x', 'unknown command "x" for "buildah version"'],
  ['tag app sha256:abc', 'sha256:abc: tag by digest not supported'],
  [`tag app x@sha256:${'0'.repeat(64)}`, `x@sha256:${'0'.repeat(64)}: tag by digest not supported`],
  ['build --format nope .', 'unrecognized image type "nope"'],
  [
    'from --cidfile /none/x scratch',
    'failed to write container ID file "/none/x": open /none/x: no such file or directory',
  ],
];
for (const [line, message] of REFUSED)
  asRoot(`${line} is refused in the words of the original`, async () => {
    const { code, err } = await run(...line.split(' '));
    assert.deepEqual([code, err], [125, `Error: ${message}`]);
  });

test('prune takes away the layer of a container whose record is gone', async () => {
  await ok('from', '--name', 'lost', 'scratch');
  const layers = () => readdirSync(join(base, 'root/vfs/dir')).sort();
  const records = join(base, 'root/vfs-containers/containers.json');
  const rows = JSON.parse(readFileSync(records, 'utf8')) as { names: string[]; layer: string }[];
  const { layer } = rows.find(({ names }) => names.includes('lost'))!;
  const others = rows.filter((row) => row.layer !== layer);
  writeFileSync(records, JSON.stringify(others));
  assert.ok(layers().includes(layer));
  await ok('prune');
  assert.ok(!layers().includes(layer));
  for (const other of others) assert.ok(layers().includes(other.layer));
});

asRoot('equal content and a timestamp give an equal image', async () => {
  const ids = [];
  for (const name of ['one', 'two']) {
    await ok('from', '--name', name, 'scratch');
    await ok('copy', '-q', name, 'file', '/file');
    ids.push(await ok('commit', '--quiet', '--timestamp', '60', name));
  }
  assert.equal(ids[0], ids[1]);
});

asRoot('an image that a container uses is not removed', async () => {
  const { code, err } = await run('rmi', 'app');
  assert.equal(code, 125);
  assert.match(err, /image .*used by|in use/i);
  assert.match(await ok('images', '-q', 'app'), /^[0-9a-f]{12}$/);
});

asRoot('a manifest list is made, filled, shown and removed', async () => {
  await ok('manifest', 'create', 'list');
  await ok('manifest', 'add', 'list', 'containers-storage:localhost/app');
  const shown = JSON.parse(await ok('manifest', 'inspect', 'list')) as {
    manifests: { platform: { os: string } }[];
  };
  assert.equal(shown.manifests.length, 1);
  assert.equal(shown.manifests[0]?.platform.os, 'linux');
  assert.equal((await run('manifest', 'exists', 'list')).code, 0);
  await ok('manifest', 'rm', 'list');
  assert.equal((await run('manifest', 'exists', 'list')).code, 1);
});

asRoot('corrupt state names the file, says what to do and deletes nothing', async () => {
  await ok('from', '--name', 'broken', 'scratch');
  const [row] = JSON.parse(await ok('containers', '--json', '--filter', 'name=broken')) as { id: string }[];
  const file = join(base, 'root/vfs-containers', row?.id ?? '', 'userdata/buildah.json');
  const before = readFileSync(file, 'utf8');
  writeFileSync(file, before.slice(0, 40));
  const { code, err } = await run('config', '--env', 'A=b', 'broken');
  assert.equal(code, 125);
  assert.match(err, /buildah\.json.*buildah rm/s);
  assert.equal(readFileSync(file, 'utf8'), before.slice(0, 40));
  writeFileSync(file, before);
});

const BAD: readonly [words: string[], text: RegExp][] = [
  [['rm', 'nothing'], /^Error: removing container "nothing": container not known/],
  [['run', 'nothing', 'true'], /reading build container "nothing": container not known/],
  [['commit', 'nothing'], /container not known/],
  [['inspect', '--type', 'image', 'nothing'], /image not known/],
  [['rmi', 'nothing'], /nothing: image not known/],
  [['tag', 'nothing', 'x'], /nothing: image not known/],
  [['from', '--pull=never', 'nothing'], /nothing: image not known/],
  [['from'], /an image name \(or "scratch"\) must be specified/],
  [['from', 'a', 'b'], /too many arguments specified/],
  [['from', '--pull=sometimes', 'a'], /unrecognized pull policy "sometimes"/],
  [['config', 'c', '--env', 'A=b'], /no options \(--env\) can be specified after/],
  [['config', '--nonsense', 'c'], /unknown flag: --nonsense/],
  [['images', '--filter', 'x'], /invalid image filter/],
  [['containers', '--filter', 'x=y'], /invalid filter "x"/],
  [['rm', '--all', 'x'], /may not pass any containers names or IDs/],
  [['mkcw', 'a', 'b'], /not supported/],
  [['commit', '--cw', 'x', 'c'], /not supported/],
  [['build', '--cw', 'type=snp', '.'], /not supported/],
  [['frm', 'x'], /unknown command "frm"/],
  [['--log-level', 'loud', 'images'], /not a valid logrus Level/],
];
for (const [words, text] of BAD)
  test(`buildah ${words.join(' ')} is one line and exit code 125`, async () => {
    const { code, out, err } = await run(...words);
    assert.equal(code, 125);
    assert.equal(out, '');
    assert.match(err, text);
  });

test('help names every command; each has a usage line', async () => {
  const help = await ok('--help');
  for (const entry of buildah.commands ?? []) {
    if (entry.hidden) continue;
    assert.match(help, new RegExp(`^ {2}${entry.name} `, 'm'));
    assert.match(await ok(entry.name, '--help'), new RegExp(`^ {2}buildah ${entry.name}`, 'm'));
  }
});

test('completion scripts exist for three shells', async () => {
  mkdirSync(base, { recursive: true });
  for (const shell of ['bash', 'zsh', 'fish']) assert.match(await ok('completion', shell), /manifest/);
  assert.equal((await run('completion', 'tcsh')).code, 125);
});

test.run();
