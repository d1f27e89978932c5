import assert from 'node:assert/strict';
import { test } from 'uvu';
import { parsePolicy } from '../../config/policy.ts';
import type { SignedByRequirement } from '../../config/policy-types.ts';
import { parseReference } from '../../image/reference.ts';
import { matchesIdentity } from '../../sign/policy/identity.ts';

const D1 = `sha256:${'1'.repeat(64)}`;
const D2 = `sha256:${'2'.repeat(64)}`;

function rule(json: string) {
  const policy = parsePolicy(
    `{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k","signedIdentity":${json}}]}`,
  );
  return (policy.default[0] as SignedByRequirement).signedIdentity;
}

const REMAP = '{"type":"remapIdentity","prefix":"mirror.example/ns","signedPrefix":"vendor.example/apps"}';
const RULES = {
  exact: '{"type":"matchExact"}',
  digest: '{"type":"matchRepoDigestOrExact"}',
  repository: '{"type":"matchRepository"}',
  exactReference: '{"type":"exactReference","dockerReference":"a.example/b:1"}',
  exactRepository: '{"type":"exactRepository","dockerRepository":"a.example/b"}',
  remap: REMAP,
} as const;

const CASES: readonly (readonly [keyof typeof RULES, string | undefined, string, boolean, string])[] = [
  ['exact', 'a.example/b:1', 'a.example/b:1', true, 'equal'],
  ['exact', 'busybox:1', 'docker.io/library/busybox:1', true, 'short names are filled in'],
  ['exact', 'a.example/b:1', 'a.example/b:2', false, 'another tag'],
  ['exact', 'a.example/b:1', 'a.example/b:1A', false, 'tags keep their case'],
  ['exact', 'a.example/b:1', 'A.example/b:1', false, 'hosts keep their case'],
  ['exact', 'a.example/b:1', 'a.example:443/b:1', false, 'another port'],
  ['exact', 'a.example/b:1', 'c.example/b:1', false, 'another host'],
  ['exact', 'a.example/b:1', 'a.example/b', false, 'no tag is assumed'],
  ['exact', `a.example/b@${D1}`, 'a.example/b:1', false, 'digest against tag'],
  ['exact', `a.example/b@${D1}`, `a.example/b@${D1}`, true, 'the same digest'],
  ['exact', `a.example/b@${D1}`, `a.example/b@${D2}`, false, 'another digest'],
  ['exact', undefined, 'a.example/b:1', false, 'an image without a name'],
  ['exact', 'a.example/b:1', 'NOT VALID', false, 'a signature for no name'],
  ['digest', 'a.example/b:1', 'a.example/b:1', true, 'equal'],
  ['digest', 'a.example/b:1', 'a.example/b:2', false, 'another tag'],
  ['digest', `a.example/b@${D1}`, 'a.example/b:7', true, 'by digest any tag of the repository'],
  ['digest', `a.example/b@${D1}`, 'a.example/c:7', false, 'by digest another repository'],
  ['digest', `a.example/b@${D1}`, 'a.example/b', false, 'a signature without tag'],
  ['digest', `a.example/b:1@${D1}`, 'a.example/b:1', false, 'with tag and digest only the whole'],
  ['digest', `a.example/b:1@${D1}`, `a.example/b:1@${D1}`, true, 'with tag and digest the whole'],
  ['digest', undefined, 'a.example/b:1', false, 'an image without a name'],
  ['repository', 'a.example/b:1', 'a.example/b:2', true, 'any tag'],
  ['repository', 'a.example/b:1', 'a.example/b', true, 'cosign names no tag'],
  ['repository', 'a.example/b:1', 'a.example/bb:1', false, 'a longer name'],
  ['repository', undefined, 'a.example/b', false, 'an image without a name'],
  ['exactReference', undefined, 'a.example/b:1', true, 'the image needs no name'],
  ['exactReference', 'other.example/x:9', 'a.example/b:1', true, 'the image name does not matter'],
  ['exactReference', undefined, 'a.example/b:2', false, 'another tag'],
  ['exactReference', undefined, 'a.example/b', false, 'no tag'],
  ['exactRepository', undefined, 'a.example/b:9', true, 'any tag'],
  ['exactRepository', undefined, 'a.example/b/c:9', false, 'below it'],
  ['remap', 'mirror.example/ns/app:1', 'vendor.example/apps/app:1', true, 'prefix replaced'],
  ['remap', 'mirror.example/ns:1', 'vendor.example/apps:1', true, 'the prefix itself'],
  ['remap', 'mirror.example/nsx/app:1', 'vendor.example/appsx/app:1', false, 'not at a path boundary'],
  ['remap', 'mirror.example/nsx/app:1', 'mirror.example/nsx/app:1', true, 'unchanged outside'],
  ['remap', 'mirror.example/ns/app:1', 'mirror.example/ns/app:1', false, 'the old name no longer'],
  ['remap', `mirror.example/ns/app@${D1}`, 'vendor.example/apps/app:3', true, 'by digest any tag'],
  [
    'remap',
    'mirror.example:5000/ns/app:1',
    'vendor.example/apps/app:1',
    false,
    'another port is another host',
  ],
  ['remap', undefined, 'vendor.example/apps/app:1', false, 'an image without a name'],
];

for (const [name, intended, signed, expected, why] of CASES)
  test(`S16 ${name}: ${why}`, () => {
    const image = intended === undefined ? undefined : parseReference(intended);
    assert.equal(matchesIdentity(rule(RULES[name]), image, signed), expected);
  });

test.run();
