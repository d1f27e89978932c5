import { deepEqual, equal, rejects } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { formatImageReference, parseImageReference } from '../../transport/references.ts';

const test = suite<{ directory: string }>('references of local images');
test.before.each((state) => {
  state.directory = realpathSync(mkdtempSync(join(tmpdir(), 'references-')));
  mkdirSync(join(state.directory, 'real'));
  symlinkSync('real', join(state.directory, 'link'));
});
test.after.each(({ directory }) => rmSync(directory, { recursive: true, force: true }));

const HEX = 'a'.repeat(64);
/** text, canonical text (undefined: refused), reason */
const ROWS: [string, string | undefined, string][] = [
  ['dir:link', 'dir:link', 'as it was typed'],
  ['oci:link', 'oci:link:', 'no name'],
  ['oci:link:name', 'oci:link:name', 'a name'],
  ['oci:link:a/b-c_d.e--f:g@h', 'oci:link:a/b-c_d.e--f:g@h', 'every separator'],
  ['oci:link:@3', 'oci:link:@3', 'a position'],
  [`oci:link:@sha256:${HEX}`, `oci:link:@sha256:${HEX}`, 'a digest'],
  ['oci:link:@-1', undefined, 'negative'],
  ['oci:link:@x', undefined, 'not an integer'],
  ['oci:link:-a', undefined, 'starts with a separator'],
  ['oci:link:a b', undefined, 'a space'],
  ['oci:', undefined, 'no path'],
  ['oci-archive:f.tar:n', 'oci-archive:f.tar:n', ''],
  ['docker-archive:f.tar', 'docker-archive:f.tar', ''],
  ['docker-archive:f.tar:busybox', 'docker-archive:f.tar:docker.io/library/busybox:latest', 'normalised'],
  ['docker-archive:f.tar:@1', 'docker-archive:f.tar:@1', ''],
  [`docker-archive:f.tar:busybox@sha256:${HEX}`, undefined, 'no digests'],
  ['docker-archive:', undefined, ''],
  ['docker-archive:f.tar:x/UPPER', undefined, ''],
  ['docker-daemon:busybox:1', 'docker-daemon:busybox:1', ''],
  [`docker-daemon:sha256:${HEX}`, `docker-daemon:sha256:${HEX}`, 'an id'],
  ['docker-daemon:busybox', undefined, 'neither tag nor digest'],
  ['docker-daemon:sha256:abc', undefined, 'reserved'],
  ['tarball:a.tar:b.tar', 'tarball:a.tar:b.tar', ''],
  ['tarball:', undefined, ''],
  ['sif:x.sif', 'sif:x.sif', ''],
  ['nothing', undefined, 'no transport'],
  ['weird:x', undefined, 'unknown transport'],
];

test('parses and prints as containers/image', async ({ directory }) => {
  for (const [text, canonical, reason] of ROWS) {
    const parse = () => parseImageReference(text, { workingDirectory: directory });
    if (canonical === undefined)
      await rejects(parse(), { code: /bad-reference|unknown-transport/ }, `${text}: ${reason}`);
    else equal(formatImageReference(await parse()), canonical, `${text}: ${reason}`);
  }
});

test('policies know local images by explicit paths', async ({ directory }) => {
  for (const [text, inclusive] of [
    ['dir:link', false],
    ['oci:link:x', true],
    ['oci-archive:link/new.tar', true],
    ['sif:link/x', false],
  ] as const) {
    const reference = await parseImageReference(text, { workingDirectory: directory });
    const identity = join(directory, text.includes('/') ? `real/${text.split('/')[1]}` : 'real');
    equal(reference.policyIdentity, identity, text);
    equal(reference.policyNamespaces.includes('/'), false);
    equal(reference.policyNamespaces[0], inclusive ? identity : join(identity, '..'), text);
  }
  const archive = await parseImageReference('docker-archive:x', { workingDirectory: directory });
  deepEqual([archive.policyIdentity, archive.policyNamespaces], ['', []]);
  const missing = await parseImageReference('dir:no/where', { workingDirectory: directory });
  await rejects(async () => missing.policyIdentity, { code: 'not-found' });
});

test('a long near miss of the name grammar is refused in linear time', async ({ directory }) => {
  const started = performance.now();
  await rejects(parseImageReference(`oci:x:${'a-'.repeat(50_000)}`, { workingDirectory: directory }));
  equal(performance.now() - started < 10_000, true);
});

test.run();
