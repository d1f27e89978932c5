import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { parseVolume, prepareVolumes } from '../../../build/exec/mounts/volume.ts';

const INVALID_UPPER =
  'invalid options "O, upperdir=/a, upperdir=/b", can only specify 1 upperdir per overlay';
const test = suite('--volume values');

test('host, container and options, colons escaped', () => {
  assert.deepEqual(parseVolume('/:/data:ro,U'), { host: '/', container: '/data', options: ['ro', 'U'] });
  assert.deepEqual(parseVolume('/:/a\\:b'), { host: '/', container: '/a:b', options: [] });
});

test('only what the mount itself takes reaches it; words of other systems mean nothing', async () => {
  const owner = () => assert.fail('nothing is to change its owner');
  const optionsOf = async (options: string) =>
    (await prepareVolumes([`/:/data:${options}`], { scratch: '/nowhere', owner }))[0]?.options;
  assert.deepEqual(await optionsOf('ro,nosuid,z,copy,cached'), ['ro', 'nosuid']);
  assert.deepEqual(await optionsOf('idmap=uids=0-0-1,upperdir=/a,workdir=/b,rslave'), ['rslave']);
  await assert.rejects(optionsOf('O,upperdir=/a'), /if specifying upperdir then workdir must be specified/);
});

for (const [text, message] of [
  ['', 'incorrect volume format "", should be host-dir:ctr-dir[:option]'],
  ['/', 'incorrect volume format "/", should be host-dir:ctr-dir[:option]'],
  ['/:', 'incorrect volume format "/:", should be host-dir:ctr-dir[:option]'],
  ['/:/a:ro:z', 'incorrect volume format "/:/a:ro:z", should be host-dir:ctr-dir[:option]'],
  ['a:/b', 'invalid host path, must be an absolute path "a"'],
  ['/no/such:/b', 'stat /no/such: no such file or directory'],
  ['/:b', 'invalid container path "b", must be an absolute path'],
  ['/:/b:bad', 'invalid option type "bad"'],
  ['/:/b:ro,', 'invalid option type ""'],
  ['/:/b:ro,rw', `invalid options "ro, rw", can only specify 1 'rw' or 'ro' option`],
  ['/:/b:U,U', `invalid options "U, U", can only specify 1 'U' option`],
  ['/:/b:O,z', `invalid options "O, z", can only specify 1 'z', 'Z', or 'O' option`],
  ['/:/b:bind,rbind', `invalid options "bind, rbind", can only specify 1 '[r]bind' option`],
  ['/:/b:O,upperdir=/a,upperdir=/b', INVALID_UPPER],
] as const)
  test(`"${text}" is an error`, () => {
    assert.throws(() => parseVolume(text), { code: 'bad-mount', message });
  });

test.run();
