import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import { openBuildah } from '../../support/buildah-command.ts';

const test = suite('buildah: results that scripts read');
const { directory: base, run, ok, remove } = openBuildah('as-original');
test.after(remove);

const error = async (...words: string[]) => {
  const { code, err } = await run(...words);
  assert.equal(code, 125, words.join(' '));
  return err;
};

test('images of another platform are told of, and do not count where one is asked for', async () => {
  await ok('from', '--name', 'arm', 'scratch');
  await ok('config', '--arch', 'arm64', 'arm');
  await ok('commit', '-q', 'arm', 'oci:arm:1');
  await ok('commit', '-q', 'arm', 'localhost/arm');
  const text = /image platform \(linux\/arm64\) does not match the expected platform \(linux\/(amd64|arm)\)/;
  assert.match((await run('pull', '--arch', 'amd64', '-q', 'oci:arm:1')).err, text);
  assert.match((await run('from', '--arch', 'amd64', 'oci:arm:1')).err, /^WARNING: image platform/m);
  assert.equal((await run('from', '--arch', 'arm64', '--pull=never', 'localhost/arm')).err, '');
  assert.match(await error('from', '--arch', 's390x', '--pull=never', 'localhost/arm'), /image not known/);
  assert.match(
    await error('from', '--platform', 'bogus', 'localhost/arm'),
    /invalid platform syntax for --platform="bogus": "bogus": unknown operating system or architecture/,
  );
});

test('the metadata of a commit has its descriptor as an object', async () => {
  await ok('from', '--name', 'meta', 'scratch');
  const id = await ok('commit', '-q', '--metadata-file', join(base, 'meta.json'), 'meta', '');
  const text = readFileSync(join(base, 'meta.json'), 'utf8');
  const metadata = JSON.parse(text) as Record<string, { size: number; digest: string }>;
  assert.equal(metadata['containerimage.config.digest'], `sha256:${id}`);
  assert.equal(metadata['containerimage.descriptor']?.digest, metadata['containerimage.digest']);
  assert.deepEqual(Object.keys(metadata), Object.keys(metadata).sort());
});

test('an image from scratch says so in its annotations; the variant comes after the system', async () => {
  await ok('from', '--name', 'plain', 'scratch');
  await ok('config', '--arch', 'arm', '--os', 'linux', '--variant', 'v7', '--os-version', '9', 'plain');
  for (const port of ['81', '80/tcp', '9']) await ok('config', '--port', port, 'plain');
  for (const label of ['10=a', '9=b']) await ok('config', '--label', label, 'plain');
  await ok('commit', '-q', '--timestamp', '0', 'plain', 'dir:plain');
  const manifest = JSON.parse(readFileSync(join(base, 'plain/manifest.json'), 'utf8')) as {
    config: { digest: string };
    annotations: object;
  };
  assert.deepEqual(Object.entries(manifest.annotations).slice(0, 2), [
    ['org.opencontainers.image.base.digest', ''],
    ['org.opencontainers.image.base.name', ''],
  ]);
  const config = readFileSync(join(base, 'plain', manifest.config.digest.replace('sha256:', '')), 'utf8');
  assert.match(config, /"architecture":"arm","os":"linux","os.version":"9","variant":"v7","config":/);
  assert.match(config, /"ExposedPorts":\{"80\/tcp":\{\},"81":\{\},"9":\{\}\}/);
  assert.match(config, /"Labels":\{"10":"a","9":"b"/);
  assert.match(await ok('inspect', 'plain'), /"80\/tcp": \{\},\n +"81": \{\},\n +"9": \{\}/);
  await ok('config', '--annotation', 'z=1', '--annotation', 'a=2', 'plain');
  assert.match(await ok('inspect', 'plain'), /"ImageAnnotations": \{\n +"a": "2",/);
  const json = await ok('inspect', '--format', '{{json .OCIv1.Config}}', 'plain');
  assert.equal(
    json,
    '{"ExposedPorts":{"80/tcp":{},"81":{},"9":{}},"WorkingDir":"/","Labels":{"10":"a","9":"b"}}',
  );
  assert.match(await ok('inspect', '--format', '{{.OCIv1.Created.Format "2006"}}', 'plain'), /^\d{4}$/);
});

test('images NAME takes the name as it would be pulled', async () => {
  await ok('from', '--name', 'named', 'scratch');
  await ok('commit', '-q', 'named', 'bar:v1');
  assert.match(await ok('images', 'bar:v1'), /localhost\/bar +v1/);
  await ok('tag', 'bar:v1', 'other:v2');
  const asked = ['images', '--format', '{{.Name}}:{{.Tag}}', '--filter'];
  assert.equal(await ok(...asked, 'reference=localhost/bar:v1'), 'localhost/bar:v1');
  assert.match(await ok(...asked, 'reference=bar:v1'), /localhost\/other:v2/);
  assert.match(await error('images', 'bar'), /^Error: bar: image not known$/);
  assert.match(
    await error('images', '--filter', 'intermediate=true'),
    /"intermediate" filter more than once/,
  );
  assert.match(await error('images', '--filter', 'since=none'), /for filter "since"="none": none: image/);
  assert.match(await error('tag', 'bar:v1', 'docker://x'), /invalid reference/);
});

test('an archive for Docker has the name of the image beside the one that it is given', async () => {
  await ok('from', '--name', 'packed', 'scratch');
  await ok('commit', '-q', 'packed', 'packed:1');
  const tags = async (destination: string) => {
    await ok('push', '-q', 'packed:1', `docker-archive:${destination}`);
    const archive = readFileSync(join(base, destination.split(':')[0] as string), 'latin1');
    return /"RepoTags":\[([^\]]*)\]/.exec(archive)?.[1];
  };
  assert.equal(await tags('a.tar'), '"localhost/packed:1"');
  assert.equal(await tags('b.tar:other:2'), '"docker.io/library/other:2","localhost/packed:1"');
  assert.equal(await tags('c.tar:localhost/packed:1'), '"localhost/packed:1"');
});

test('manifest lists are shown with every key in one order', async () => {
  await ok('from', '--name', 'entry', 'scratch');
  await ok('commit', '-q', 'entry', 'entry');
  await ok('manifest', 'create', 'list');
  const shown = async () => JSON.parse(await ok('manifest', 'inspect', 'list')) as Record<string, unknown>;
  assert.equal((await shown()).mediaType, 'application/vnd.docker.distribution.manifest.list.v2+json');
  writeFileSync(join(base, 'file.txt'), 'text');
  await ok('manifest', 'add', '--artifact', 'list', 'file.txt');
  const { mediaType, manifests } = await shown();
  assert.equal(mediaType, 'application/vnd.oci.image.index.v1+json');
  const [entry] = manifests as Record<string, unknown>[];
  assert.deepEqual(Object.keys(entry ?? {}), [
    ...['mediaType', 'size', 'digest', 'platform', 'artifactType', 'files'],
  ]);
  assert.deepEqual(entry?.platform, { architecture: '', os: '' });
  assert.deepEqual(JSON.parse(await ok('inspect', '--type', 'manifest', 'list')), await shown());
  await ok('manifest', 'create', 'more');
  const { code, out, err } = await run('manifest', 'rm', 'list', 'entry', 'more');
  assert.equal(code, 125);
  assert.match(
    out,
    /^untagged: localhost\/list:latest\nuntagged: localhost\/more:latest\n[0-9a-f]{64}\n[0-9a-f]{64}$/,
  );
  assert.equal(err, 'Error: 1 error occurred:\n\t* localhost/entry:latest: image is not a manifest list');
  assert.match(await error('manifest', 'exists', 'entry'), /image is not a manifest list/);
  assert.equal((await run('manifest', 'exists', 'none')).code, 1);
  await ok('manifest', 'create', 'list');
  assert.match(await error('manifest', 'create', 'list'), /is already associated with image "[0-9a-f]{64}"/);
});

test('what is missing is asked for on a terminal alone', async () => {
  assert.match(await error('pull', '--creds', 'me', 'dir:none'), /could not read password from terminal/);
  assert.match(await error('login'), /please specify a registry to login to/);
  assert.match(await error('logout'), /registry must be given/);
});

test('wrong arguments of single commands', async () => {
  await ok('from', '--name', 'single', 'scratch');
  assert.match(
    await error('run', '--valid-exit-codes', 'x', 'single', 'true'),
    /strconv\.ParseInt: parsing "x"/,
  );
  assert.match(
    await error('umount', 'none'),
    /^Error: error unmounting container none: container not known$/,
  );
  assert.match(await error('prune', 'none'), /1 error occurred:\n\t\* none: image not known/);
});

test('--env that cannot be expanded is an error line, and an entry of the history is counted', async () => {
  await ok('from', '--name', 'env', 'scratch');
  const { code, err } = await run('config', '--env', 'A=$NONE', 'env');
  assert.equal(code, 0);
  assert.match(err, /level=error msg="error expanding variable \\"NONE\\": no value set in configuration"/);
  await ok('config', '--add-history', '--cmd', 'x', 'env');
  const history = await ok('inspect', '--format', '{{range .History}}{{.CreatedBy}};{{end}}', 'env');
  assert.equal(history, '/bin/sh -c #(nop) ENV ;/bin/sh -c #(nop) CMD x;');
});

test('working containers have a cgroup namespace of their own unless a flag says otherwise', async () => {
  await ok('from', '--name', 'own', 'scratch');
  await ok('from', '--name', 'shared', '--cgroupns', 'host', 'scratch');
  const format = '{{range .NamespaceOptions}}{{if eq .Name "cgroup"}}{{.Host}}{{end}}{{end}}';
  assert.equal(await ok('inspect', '--format', format, 'own'), 'false');
  assert.equal(await ok('inspect', '--format', format, 'shared'), 'true');
});

test('a relative --root counts from the working directory', async () => {
  mkdirSync(join(base, 'other'), { recursive: true });
  const places = ['--root', 'other/root', '--runroot', 'other/run'];
  await ok(...places, 'from', '--name', 'there', 'scratch');
  assert.match(
    await ok('--root', join(base, 'other/root'), '--runroot', join(base, 'other/run'), 'ps'),
    /there/,
  );
});

test('a name with a digest is given to the image of that digest alone', async () => {
  const context = join(base, 'digest-context');
  mkdirSync(context);
  writeFileSync(join(context, 'Containerfile'), 'FROM scratch\nLABEL a=b\n');
  const wrong = `x@sha256:${'1'.repeat(64)}`;
  const other = /Digest of source image's manifest would not match destination reference/;
  for (const layers of ['--layers', '--layers=false'])
    assert.match(await error('build', '-q', layers, '-t', wrong, context), other);
  // Also where the image is in the cache already.
  assert.match(await error('build', '-q', '--layers', '-t', wrong, context), other);
  assert.match(await error('build', '-q', '-t', 'one', '-t', wrong, context), /tag by digest not supported/);
  await ok('from', '--name', 'digested', 'scratch');
  assert.match(await error('commit', '-q', '--rm', 'digested', wrong), other);
  await ok('commit', '-q', '--timestamp', '1', 'digested', 'digested');
  const digest = await ok('images', '--format', '{{.Digest}}', 'digested');
  await ok('commit', '-q', '--timestamp', '1', '--rm', 'digested', `same@${digest}`);
  assert.match(
    await ok('images', '--format', '{{.Name}}@{{.Digest}}'),
    new RegExp(`localhost/same@${digest}`),
  );
  assert.doesNotMatch(await ok('images', '--format', '{{.Name}}'), /localhost\/(x|one)$/m);
});

test('--manifest with the name of an image leaves that image its name', async () => {
  const context = join(base, 'list-context');
  mkdirSync(context);
  writeFileSync(join(context, 'Containerfile'), 'FROM scratch\nLABEL a=c\n');
  const id = await ok('build', '-q', '-t', 'taken', context);
  await ok('from', '--name', 'listed', 'scratch');
  const noList = /^Error: localhost\/taken:latest: image is not a manifest list$/;
  assert.match(await error('build', '-q', '--manifest', 'taken', context), noList);
  assert.match(await error('commit', '-q', '--manifest', 'taken', 'listed'), noList);
  assert.equal(await ok('images', '-q', '--no-trunc', 'taken'), `sha256:${id}`);
});

test.run();
