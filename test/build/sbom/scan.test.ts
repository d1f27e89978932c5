import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import { openBuildah } from '../../support/buildah-command.ts';
import { makeRootfs } from '../../support/rootfs.ts';

const test = suite('SBOMs of builds');
const { directory, ok, run, remove } = openBuildah('sbom', {
  driver: 'overlay',
  environment: { BUILDAH_ISOLATION: 'chroot' },
});
const isRoot = process.geteuid?.() === 0;
const onlyRoot = isRoot ? test : test.skip;
if (!isRoot) console.log('SKIP SBOMs of builds: RUN under chroot isolation needs root here');

const context = join(directory, 'context');
test.before(async () => {
  mkdirSync(context);
  writeFileSync(join(context, 'Containerfile'), 'FROM scratch\nCOPY Containerfile /file\n');
  // What a scanner writes: one component, named by the argument, keys in no order.
  writeFileSync(
    join(context, 'scan'),
    'echo "{\\"version\\":1,\\"bomFormat\\":\\"<C>\\",\\"components\\":[{\\"name\\":\\"$1\\",\\"purl\\":\\"pkg:x/$1\\"}]}"\n',
  );
  if (!isRoot) return;
  await ok('from', '--name', 'scanner', 'scratch');
  await ok('copy', '--quiet', 'scanner', makeRootfs(join(directory, 'tree')), '/');
  await ok('commit', '--quiet', '--rm', 'scanner', 'localhost/scanner');
});
test.after(remove);

const build = (strategy: string, commands: readonly string[], ...more: string[]) =>
  run(
    ...['build', '--sbom-scanner-image', 'localhost/scanner', '--sbom-output', join(directory, 'sbom')],
    ...(strategy ? ['--sbom-merge-strategy', strategy] : []),
    ...commands.flatMap((command) => ['--sbom-scanner-command', command]),
    ...[...more, context],
  );

onlyRoot('lists of several scans become one, with keys in order', async () => {
  const commands = ['one', 'two'].map((name) => `sh {CONTEXT}/scan ${name} > {OUTPUT}`);
  const { code, err } = await build('merge-cyclonedx-by-component-name-and-version', commands);
  assert.equal(code, 0, err);
  assert.equal(
    readFileSync(join(directory, 'sbom'), 'utf8'),
    '{"bomFormat":"\\u003cC\\u003e","components":[{"name":"one","purl":"pkg:x/one"},{"name":"two","purl":"pkg:x/two"}],"version":1}\n',
  );
});

onlyRoot('words in quotes are one word of the scanner command', async () => {
  const { code, err } = await build('cat', [`sh -c 'head -n 1 {ROOTFS}/file | cat - /dev/null > {OUTPUT}'`]);
  assert.equal(code, 0, err);
  assert.equal(readFileSync(join(directory, 'sbom'), 'utf8'), 'FROM scratch\n');
});

onlyRoot('a list that is a link is not followed on the host', async () => {
  for (const target of [join(context, 'scan'), '/.rootfs']) {
    const { code, err } = await build('cat', [`sh -c 'ls {ROOTFS}; ln -s ${target} {OUTPUT}'`]);
    assert.equal(code, 125);
    assert.match(err, /wrote an \{OUTPUT\} that is no file$/);
  }
});

onlyRoot('a scanner that fails, or writes no list, fails the build', async () => {
  const failing = await build('cat', ['sh -c "exit 3" {ROOTFS}']);
  assert.match(failing.err, /running scanning command \["sh","-c","exit 3","\/\.rootfs"\]: exit status 3$/);
  const idle = await build('cat', ['true {ROOTFS}']);
  assert.match(idle.err, /the scanner command \["true","\/\.rootfs"\] wrote no \{OUTPUT\}$/);
  for (const { code } of [failing, idle]) assert.equal(code, 125);
});

test('commands that scan nothing and a missing strategy are told before the build', async () => {
  const nothing = await build('cat', ['cp /etc/passwd {OUTPUT}'], '-t', 'never');
  assert.match(nothing.err, /^Error: no "--sbom-scanner-command" would scan anything/);
  const strategy = await build('', ['scan {ROOTFS}']);
  assert.match(strategy.err, /^Error: sbom arguments included unrecognized merge strategy ""$/);
  for (const { code, out } of [nothing, strategy]) assert.deepEqual([code, out], [125, '']);
  assert.ok(existsSync(context));
});

test.run();
