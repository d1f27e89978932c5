import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { parseVolume } from '../../../build/exec/mounts/volume.ts';

const test = suite('--volume values');

test('host, container and options, colons escaped', () => {
  assert.deepEqual(parseVolume('/:/data:ro,U'), { host: '/', container: '/data', options: ['ro', 'U'] });
  assert.deepEqual(parseVolume('/:/a\\:b'), { host: '/', container: '/a:b', options: [] });
});

for (const [text, message] of [
  ['', 'incorrect volume format "", should be host-dir:ctr-dir[:option]'],
  ['/', 'incorrect volume format "/", should be host-dir:ctr-dir[:option]'],
  ['/:', 'incorrect volume format "/:", should be host-dir:ctr-dir[:option]'],
  ['/:/a:ro:z', 'incorrect volume format "/:/a:ro:z", should be host-dir:ctr-dir[:option]'],
  ['a:/b', 'invalid host path, must be an absolute path "a"'],
  ['/no/such:/b', 'stat /no/such: no such file or directory'],
  ['/:b', 'invalid container path "b", must be an absolute path'],
  ['/:/b:bad', 'invalid option "bad" specified for volume mount "/:/b:bad"'],
] as const)
  test(`"${text}" is an error`, () => {
    assert.throws(() => parseVolume(text), { code: 'bad-mount', message });
  });

test.run();
