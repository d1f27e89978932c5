import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { suite } from 'uvu';
import { ConfigError } from '../../config/error.ts';
import { readStorageConfig, withStorageFlags } from '../../config/storage.ts';

const test = suite('storage.conf');
const directory = realpathSync(mkdtempSync(join(tmpdir(), 'slipway-conf-')));
test.after(() => rmSync(directory, { recursive: true }));
let count = 0;

/** A host with the given files; names start with `home/`, `etc/` or `usr/share/`. */
function host(
  files: Readonly<Record<string, string>> = {},
  environment: Readonly<Record<string, string>> = {},
  uid = 0,
) {
  const systemRoot = join(directory, String(count++));
  mkdirSync(join(systemRoot, 'home'), { recursive: true });
  for (const [name, text] of Object.entries(files)) {
    const path = join(systemRoot, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  return { systemRoot, uid, environment: { HOME: join(systemRoot, 'home'), ...environment } };
}

test('without any file the places of root are the well-known ones', async () => {
  const config = await readStorageConfig(host());
  assert.equal(config.graphRoot, '/var/lib/containers/storage');
  assert.equal(config.runRoot, '/run/containers/storage');
  assert.equal(config.driver, undefined);
  assert.deepEqual(config.driverOptions, []);
  assert.equal(config.rootless, false);
});

test('an ordinary user has a store at home', async () => {
  const surroundings = host({}, { XDG_RUNTIME_DIR: '/run/user/7' }, 7);
  const config = await readStorageConfig(surroundings);
  assert.equal(config.graphRoot, join(surroundings.environment.HOME, '.local/share/containers/storage'));
  assert.equal(config.runRoot, '/run/user/7/containers');
  assert.equal(config.rootless, true);
});

test('in a user namespace the store is that of the user outside', async () => {
  const inside = {
    _CONTAINERS_USERNS_CONFIGURED: 'done',
    _CONTAINERS_ROOTLESS_UID: '7',
    XDG_RUNTIME_DIR: '/run/user/7',
  };
  const surroundings = host({}, { ...inside, XDG_DATA_HOME: '/data' });
  const config = await readStorageConfig(surroundings);
  assert.equal(config.graphRoot, '/data/containers/storage');
  assert.equal(config.rootless, true);
  const nested = await readStorageConfig(host({}, { ...inside, _CONTAINERS_ROOTLESS_UID: '0' }));
  assert.equal(nested.graphRoot, '/var/lib/containers/storage');
});

const WHOLE = `
[storage]
driver = "overlay2"
graphroot = "/g/$UID/\${PLACE}"
runroot = "$HOME/run"
driver_priority = ["vfs", "overlay"]
transient_store = true
[storage.options]
disable-volatile = true
additionalimagestores = ["/a", "/b"]
mount_program = "/bin/mp"
force_mask = 0o755
[storage.options.overlay]
mountopt = "nodev,metacopy=on"
ignore_chown_errors = "true"
[storage.options.vfs]
ignore_chown_errors = "false"
[storage.options.pull_options]
enable_partial_images = "true"
`;

test('every setting of a file is read, options in the original order', async () => {
  const surroundings = host({ 'etc/containers/storage.conf': WHOLE }, { PLACE: 'here' });
  const config = await readStorageConfig(surroundings);
  assert.equal(config.driver, 'overlay');
  assert.equal(config.graphRoot, '/g/0/here');
  assert.equal(config.runRoot, join(surroundings.environment.HOME, 'run'));
  assert.deepEqual(config.driverPriority, ['vfs', 'overlay']);
  assert.equal(config.transient, true);
  assert.equal(config.disableVolatile, true);
  assert.deepEqual(config.pullOptions, { enable_partial_images: 'true' });
  assert.deepEqual(config.driverOptions, [
    'imagestore=/a',
    'imagestore=/b',
    'mount_program=/bin/mp',
    'force_mask=755',
    'overlay.ignore_chown_errors=true',
    'overlay.mountopt=nodev,metacopy=on',
    'vfs.ignore_chown_errors=false',
  ]);
});

test('the first main file counts alone, drop-ins lie over it by name', async () => {
  const config = await readStorageConfig(
    host({
      'home/.config/containers/storage.conf': '[storage]\ndriver = "vfs"\ngraphroot = "/user"\n',
      'etc/containers/storage.conf': '[storage]\nrunroot = "/never"\n',
      'etc/containers/storage.conf.d/20.conf': '[storage]\ngraphroot = "/twenty"\n',
      'usr/share/containers/storage.conf.d/10.conf': '[storage]\ngraphroot = "/ten"\nrunroot = "/ten-run"\n',
      'usr/share/containers/storage.conf.d/20.conf': '[storage]\ngraphroot = "/hidden"\n',
    }),
  );
  assert.equal(config.driver, 'vfs');
  assert.equal(config.graphRoot, '/twenty');
  assert.equal(config.runRoot, '/ten-run');
  assert.equal(config.files.length, 3);
});

test('the environment wins: CONTAINERS_STORAGE_CONF, STORAGE_DRIVER, STORAGE_OPTS', async () => {
  const files = { 'etc/containers/storage.conf': WHOLE, 'own.conf': '[storage]\ndriver = "overlay"\n' };
  const base = host(files);
  const environment = { ...base.environment, CONTAINERS_STORAGE_CONF: join(base.systemRoot, 'own.conf') };
  assert.deepEqual((await readStorageConfig({ ...base, environment })).driverOptions, []);
  const config = await readStorageConfig({
    ...base,
    environment: { ...environment, STORAGE_DRIVER: 'vfs', STORAGE_OPTS: 'vfs.ignore_chown_errors=true,x=y' },
  });
  assert.equal(config.driver, 'vfs');
  assert.deepEqual(config.driverOptions, ['vfs.ignore_chown_errors=true', 'x=y']);
});

for (const [why, files, environment, code] of [
  ['a missing named file', {}, { CONTAINERS_STORAGE_CONF: '/nowhere/storage.conf' }, 'not-found'],
  ['bad TOML', { 'etc/containers/storage.conf': '[storage\n' }, {}, 'bad-config'],
  [
    'imagestore = graphroot',
    { 'etc/containers/storage.conf': '[storage]\ngraphroot="/g"\nimagestore="/g"\n' },
    {},
    'bad-config',
  ],
] as const)
  test(`${why} is an error`, async () => {
    await assert.rejects(
      readStorageConfig(host(files, environment)),
      (error) => error instanceof ConfigError && error.code === code,
    );
  });

test('flags: a given driver drops configured options, given options replace them', async () => {
  const config = await readStorageConfig(host({ 'etc/containers/storage.conf': WHOLE }));
  assert.deepEqual(withStorageFlags(config, { driver: 'vfs' }).driverOptions, []);
  const both = withStorageFlags(config, {
    driver: 'overlay',
    options: ['overlay.mountopt=nodev'],
    root: '/r',
    runRoot: '/rr',
  });
  assert.deepEqual(
    [both.driver, both.driverOptions, both.graphRoot, both.runRoot],
    ['overlay', ['overlay.mountopt=nodev'], '/r', '/rr'],
  );
  assert.deepEqual(withStorageFlags(config, {}), config);
});

test.run();
