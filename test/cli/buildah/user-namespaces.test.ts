import assert from 'node:assert/strict';
import { existsSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import { openBuildah } from '../../support/buildah-command.ts';
import { makeRootfs } from '../../support/rootfs.ts';

const test = suite('buildah with user namespaces');
const { directory, ok, run, remove } = openBuildah('userns', {
  driver: 'overlay',
  environment: { BUILDAH_ISOLATION: 'oci' },
});
test.after(remove);

const isRoot = process.getuid?.() === 0;
const canRun =
  isRoot && ['/usr/bin/runc', '/usr/sbin/runc', '/usr/bin/crun'].some((path) => existsSync(path));
const asRoot = isRoot ? test : test.skip;
const withRuntime = canRun ? test : test.skip;
if (!canRun) console.log('SKIP buildah with user namespaces: some tests need root and a runtime');

const MAPS = ['--userns-uid-map', '0:20000:1000', '--userns-gid-map', '0:30000:1000'];
const show = (container: string, template: string) =>
  ok('inspect', '--type', 'container', '--format', template, container);
const ownerOf = (path: string) => `${lstatSync(path).uid}:${lstatSync(path).gid}`;

asRoot('the flags say which namespace and which ids', async () => {
  const options = '{{.IDMappingOptions.UIDMap}} {{.IDMappingOptions.GIDMap}}';
  const mapped = await ok('from', ...MAPS, 'scratch');
  assert.equal(await show(mapped, options), '[{0 20000 1000}] [{0 30000 1000}]');
  const alike = await ok('from', '--userns-uid-map', '0:20000:10,20:30000:5', 'scratch');
  assert.equal(await show(alike, options), '[{0 20000 10} {20 30000 5}] [{0 20000 10} {20 30000 5}]');
  const user = '{{range .NamespaceOptions}}{{if eq .Name "user"}}{{.Host}}{{end}}{{end}}';
  for (const [how, host] of [
    ['', 'false'],
    ['private', 'false'],
    ['host', 'true'],
    ['/proc/self/ns/user', 'true'],
  ] as const)
    assert.equal(await show(await ok('from', `--userns=${how}`, 'scratch'), user), host, how);
  for (const [flags, message] of [
    [
      ['--userns-uid-map', '16'],
      'userns-uid-map setting is malformed expected ["uint32:uint32:uint32"]: ["16"]',
    ],
    [['--userns-uid-map', '0:1:2', '--userns-gid-map', 'x'], 'userns-gid-map setting is malformed'],
    [['--userns', 'auto:what=1'], 'unknown option specified: "what"'],
    [['--userns', 'host', '--userns-uid-map', '0:1:2'], "while using host's user namespace"],
  ] as const) {
    const { code, err } = await run('from', ...flags, 'scratch');
    assert.equal(code, 125);
    assert.ok(err.includes(message), err);
  }
});

asRoot('containers.conf says what a namespace is where no flag does', async () => {
  writeFileSync(join(directory, 'containers.conf'), '[containers]\nipcns = "host"\nutsns = "host"\n');
  const configured = openBuildah('userns-conf', {
    environment: { CONTAINERS_CONF: join(directory, 'containers.conf') },
  });
  const hosts = '{{range .NamespaceOptions}}{{if .Host}}{{.Name}} {{end}}{{end}}';
  const container = await configured.ok('from', '--uts', 'private', 'scratch');
  const shown = await configured.ok('inspect', '--type', 'container', '--format', hosts, container);
  await configured.remove();
  assert.ok(shown.includes('ipc'), shown);
  assert.ok(!shown.includes('uts'), shown);
});

asRoot('a squashed image has the ids of the container, not those of the host', async () => {
  writeFileSync(join(directory, 'file'), 'x');
  const container = await ok('from', ...MAPS, 'scratch');
  await ok('copy', '--quiet', '--chown', '1:2', container, 'file', '/file');
  assert.equal(ownerOf(join(await ok('mount', container), 'file')), '20001:30002');
  await ok('commit', '--quiet', '--squash', container, 'squashed');
  assert.equal(ownerOf(join(await ok('mount', await ok('from', 'squashed')), 'file')), '1:2');
});

withRuntime('a mapped root runs, and gets the volumes that are to be its own', async () => {
  makeRootfs(join(directory, 'tree'));
  mkdirSync(join(directory, 'volume'));
  writeFileSync(join(directory, 'volume/file'), '');
  const container = await ok('from', ...MAPS, '--volume', `${directory}/volume:/volume:U`, 'scratch');
  await ok('copy', '--quiet', container, 'tree', '/');
  await ok('run', '--network', 'none', container, 'sh', '-c', 'cat /proc/self/uid_map >/volume/map');
  assert.deepEqual(readFileSync(join(directory, 'volume/map'), 'utf8').trim().split(/\s+/), [
    '0',
    '20000',
    '1000',
  ]);
  assert.equal(ownerOf(join(directory, 'volume/map')), '20000:30000');
  assert.equal(ownerOf(join(directory, 'volume/file')), '20000:30000');
  const { code, err } = await run('run', '--volume', '/etc:/x:U', container, 'true');
  assert.equal(code, 125);
  assert.match(err, /chowning host path "\/etc" is not allowed/);
});

withRuntime('a build runs with the mapping, and its image has the ids of the container', async () => {
  mkdirSync(join(directory, 'context'));
  writeFileSync(
    join(directory, 'context/Containerfile'),
    'FROM scratch\nCOPY --from=tree / /\nRUN cat /proc/self/gid_map >/map\n',
  );
  const flags = ['--network', 'none', '--build-context', `tree=${directory}/tree`, '--quiet'];
  await ok('build', ...MAPS, ...flags, '-t', 'mapped', 'context');
  const root = await ok('mount', await ok('from', 'mapped'));
  assert.deepEqual(readFileSync(join(root, 'map'), 'utf8').trim().split(/\s+/), ['0', '30000', '1000']);
  assert.equal(ownerOf(join(root, 'map')), '0:0');
  const { code, err } = await run('build', ...MAPS, '--pid', 'host', ...flags, 'context');
  assert.equal(code, 125);
  assert.match(err, /not allowed to mix host PID namespace/);
});

withRuntime('files of another stage keep the ids that they have there', async () => {
  writeFileSync(
    join(directory, 'context/Containerfile'),
    'FROM scratch AS one\nCOPY --from=tree / /\nUSER 7:8\nRUN echo x >/tmp/file\n' +
      'FROM scratch\nCOPY --from=one /tmp/file /file\n',
  );
  for (const layers of ['--layers', '--layers', '--layers=false']) {
    const flags = ['--network', 'none', '--build-context', `tree=${directory}/tree`, '--quiet', layers];
    await ok('build', ...MAPS, ...flags, '-t', 'copied', 'context');
    assert.equal(ownerOf(join(await ok('mount', await ok('from', 'copied')), 'file')), '7:8');
  }
});

test.run();
