import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import { openBuildah } from '../../support/buildah-command.ts';
import { makeRootfs } from '../../support/rootfs.ts';

const test = suite('buildah run');
const environment: Record<string, string> = { BUILDAH_ISOLATION: 'oci' };
const { directory, ok, run, remove } = openBuildah('run', {
  driver: 'overlay',
  environment,
});
test.after(remove);

const runtimes = ['/usr/bin/runc', '/usr/sbin/runc', '/usr/bin/crun'];
const withRuntime = process.getuid?.() === 0 && runtimes.some((path) => existsSync(path)) ? test : test.skip;
if (withRuntime !== test) console.log('SKIP buildah run: needs root and a runtime');

async function container(...flags: string[]): Promise<{ readonly id: string; readonly root: string }> {
  const id = await ok('from', ...flags, 'scratch');
  await ok('copy', '--quiet', id, makeRootfs(join(directory, 'tree'), { commands: ['hostname'] }), '/');
  return { id, root: await ok('mount', id) };
}

withRuntime('exit codes: 0 succeeds unless others are named', async () => {
  const { id } = await container();
  const code = async (...words: string[]) => run('run', '--network', 'none', ...words);
  assert.equal((await code(id, 'sh', '-c', 'exit 3')).code, 3);
  assert.equal((await code('--valid-exit-codes', '0,3', id, 'sh', '-c', 'exit 3')).code, 0);
  const zero = await code('--valid-exit-codes', '3', id, 'true');
  assert.equal(zero.code, 125);
  assert.match(zero.err, /exit status 0 is not in the valid exit codes list/);
});

withRuntime('writes to a mounted directory are lost, and its name may have a colon', async () => {
  const { id } = await container();
  mkdirSync(join(directory, 'was:empty'));
  const mount = `type=bind,src=${directory}/was:empty,dst=/seen,rw`;
  await ok('run', '--network', 'none', '--mount', mount, id, 'sh', '-c', 'touch /seen/file; cat /seen/file');
  assert.equal(existsSync(join(directory, 'was:empty/file')), false);
});

withRuntime('a mount names what it mounts and where, as nothing else stands for it', async () => {
  const { id } = await container();
  const refused = async (mount: string) => {
    const { code, err } = await run('run', '--network', 'none', '--mount', mount, id, 'true');
    assert.equal(code, 125);
    return err.trim();
  };
  assert.equal(await refused('type=bind,target=/seen'), 'Error: must set volume source');
  assert.match(
    await refused('type=bind,src=/etc,target=seen'),
    /invalid container path "seen", must be an abs/,
  );
  assert.match(await refused('type=tmpfs'), /"type=tmpfs": incorrect mount format/);
});

withRuntime('devices of a directory of the user are theirs under chroot isolation too', async () => {
  const { id } = await container();
  const script =
    'while read -r _ on _ flags _; do [ $on = /seen ] && case $flags in *nodev*) exit 3;; *) exit 4;; esac; done';
  const seen = async (mount: string) => {
    const look = ['--isolation', 'chroot', '--network', 'host', '--mount', `type=bind,${mount},target=/seen`];
    return (await run('run', ...look, id, 'sh', '-c', `${script} </proc/mounts`)).code;
  };
  mkdirSync(join(directory, 'own'));
  assert.equal(await seen(`src=${directory}/own`), 4);
  assert.equal(await seen(`src=${directory}/own,nodev`), 3);
});

withRuntime('a passwd file that is a link to itself lists nobody', async () => {
  const { id, root } = await container();
  unlinkSync(join(root, 'etc/passwd'));
  symlinkSync('/etc/passwd', join(root, 'etc/passwd'));
  const { code, err } = await run('run', '--user', 'somebody', id, 'true');
  assert.equal(code, 125);
  assert.match(err, /unknown user/);
});

withRuntime('containers.conf may make the name the host name', async () => {
  const { id, root } = await container('--name', 'the_name');
  const hostname = async () => {
    await ok('run', '--network', 'none', id, 'sh', '-c', 'cat /proc/sys/kernel/hostname >/name');
    return readFileSync(join(root, 'name'), 'utf8').trim();
  };
  assert.match(await hostname(), /^[0-9a-f]{12}$/);
  writeFileSync(join(directory, 'containers.conf'), '[containers]\ncontainer_name_as_hostname = true\n');
  environment.CONTAINERS_CONF = join(directory, 'containers.conf');
  assert.equal(await hostname(), 'thename');
});

withRuntime(
  'containers.conf may say how a container reaches the host, and gives `run` no environment',
  async () => {
    const { id, root } = await container();
    const file = join(directory, 'containers.conf');
    const look = 'cat /etc/hosts >/seen; echo "env:$FOO" >>/seen';
    const seen = async (address: string) => {
      writeFileSync(file, `[containers]\nhost_containers_internal_ip = "${address}"\nenv = ["FOO=bar"]\n`);
      environment.CONTAINERS_CONF = file;
      await ok('run', '--network', 'host', id, 'sh', '-c', look);
      return readFileSync(join(root, 'seen'), 'utf8');
    };
    assert.match(await seen('10.1.2.3'), /^10\.1\.2\.3\thost\.containers\.internal[\s\S]*^env:$/m);
    assert.doesNotMatch(await seen('none'), /host\.containers\.internal/);
  },
);

withRuntime('X03: annotations of an image reach hooks of given directories alone', async () => {
  const { id } = await container();
  await ok('config', '--annotation', 'com.example.hook=wanted', '--annotation', 'run.oci.handler=evil', id);
  await ok('commit', '--quiet', id, 'annotated');
  const hooks = join(directory, 'hooks.d');
  const log = join(directory, 'hook.log');
  mkdirSync(hooks);
  const hook = {
    version: '1.0.0',
    hook: { path: '/bin/sh', args: ['sh', '-c', `cat >>${log}`] },
    when: { annotations: { '^com\\.example\\.hook$': '^wanted$' } },
    stages: ['prestart'],
  };
  writeFileSync(join(hooks, 'hook.json'), JSON.stringify(hook));
  const annotated = await ok('from', '--hooks-dir', hooks, 'annotated');
  await ok('run', '--network', 'none', annotated, 'true');
  assert.match(readFileSync(log, 'utf8'), /"status": *"cre/);
  assert.doesNotMatch(readFileSync(log, 'utf8'), /evil|wanted/);
  writeFileSync(log, '');
  await ok('run', '--network', 'none', await ok('from', 'annotated'), 'true');
  assert.equal(readFileSync(log, 'utf8'), '');
});

test.run();
