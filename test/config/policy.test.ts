import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { parsePolicy, readPolicy, readPolicyFile } from '../../config/policy.ts';

const test = suite<{ directory: string }>('policy.json');
test.before.each((context) => {
  context.directory = mkdtempSync(join(tmpdir(), 'slipway-policy-'));
});
test.after.each(({ directory }) => rmSync(directory, { recursive: true, force: true }));

const DEFAULT = '"default":[{"type":"reject"}]';
const only = (requirement: string) => `{"default":[${requirement}]}`;
const signedBy = (fields: string) => only(`{"type":"signedBy","keyType":"GPGKeys",${fields}}`);
const sigstore = (fields: string) => only(`{"type":"sigstoreSigned",${fields}}`);
const identity = (fields: string) => signedBy(`"keyPath":"/k","signedIdentity":${fields}`);
const scope = (transport: string, name: string) =>
  `{${DEFAULT},"transports":{${JSON.stringify(transport)}:{${JSON.stringify(name)}:[{"type":"reject"}]}}}`;
const FULCIO = '"caPath":"/ca","oidcIssuer":"https://i","subjectEmail":"a@b"';

const ACCEPTED: readonly (readonly [string, string])[] = [
  ['the smallest policy', `{${DEFAULT}}`],
  ['empty transports', `{${DEFAULT},"transports":{}}`],
  ['an unknown transport with any scope', scope('future', 'what / ever')],
  ['a transport default', scope('tarball', '')],
  ['a wildcard', scope('docker', '*.example.com')],
  ['a tag of an OpenShift stream', scope('atomic', 'cluster.example:8443/team/app:1')],
  ['a directory', scope('dir', '/images')],
  [
    'a store',
    scope('containers-storage', '[overlay@/var/lib/containers/storage]docker.io/library/busybox:latest'),
  ],
  ['a store by root alone', scope('containers-storage', '[/var/lib/containers/storage]')],
  ['keyPath', signedBy('"keyPath":"/k"')],
  ['keyPaths', signedBy('"keyPaths":["/a","/b"]')],
  ['keyData', signedBy('"keyData":"AAAA"')],
  [
    'a kind of key that cannot be evaluated',
    only('{"type":"signedBy","keyType":"X509Certificates","keyPath":"/k"}'),
  ],
  ['sigstore keyDatas', sigstore('"keyDatas":["AAAA","AAAA"]')],
  ['fulcio with rekor', sigstore(`"fulcio":{${FULCIO}},"rekorPublicKeyPath":"/r"`)],
  ['pki', sigstore('"pki":{"caRootsPath":"/r","caIntermediatesData":"AAAA","subjectHostname":"h"}')],
  ['matchExact', identity('{"type":"matchExact"}')],
  ['exactReference', identity('{"type":"exactReference","dockerReference":"a/b:1"}')],
  ['exactRepository', identity('{"type":"exactRepository","dockerRepository":"a/b"}')],
  [
    'remapIdentity',
    identity('{"type":"remapIdentity","prefix":"a.example:5000","signedPrefix":"b.example/ns"}'),
  ],
  ['signedBaseLayer', only('{"type":"signedBaseLayer","baseLayerIdentity":{"type":"matchExact"}}')],
];
for (const [name, text] of ACCEPTED) test(`S15 accepted: ${name}`, () => void parsePolicy(text));

const REFUSED: readonly (readonly [string, string, RegExp])[] = [
  ['no default', '{"transports":{}}', /Default policy is missing/],
  ['an empty list', '{"default":[]}', /must not be empty/],
  ['an empty list in a scope', `{${DEFAULT},"transports":{"docker":{"a":[]}}}`, /must not be empty/],
  ['null', '{"default":null}', /array expected/],
  ['an unknown key', `{${DEFAULT},"defaults":[]}`, /Unknown key "defaults"/],
  ['M09: a duplicate key', `{${DEFAULT},${DEFAULT}}`, /duplicate key "default"/],
  [
    'M09: a duplicate scope',
    `{${DEFAULT},"transports":{"docker":{"a":[{"type":"reject"}],"a":[{"type":"reject"}]}}}`,
    /duplicate key "a"/,
  ],
  [
    'M09: a duplicate key in a requirement',
    only('{"type":"reject","type":"reject"}'),
    /duplicate key "type"/,
  ],
  ['a typo in a type', only('{"type":"singedBy"}'), /Unknown policy requirement type "singedBy"/],
  ['no type', only('{}'), /Unknown policy requirement type ""/],
  ['a type that is no string', only('{"type":1}'), /Unknown policy requirement type/],
  ['another letter case', only('{"Type":"reject"}'), /Unknown policy requirement type/],
  ['a key too many', only('{"type":"reject","x":1}'), /Unknown key "x"/],
  ['data behind', `{${DEFAULT}}{}`, /data after its end/],
  ['a comment', `{${DEFAULT} /* x */}`, /expected , or }/],
  ['a byte order mark', `\ufeff{${DEFAULT}}`, /unexpected character|not valid JSON/],
  ['no key type', only('{"type":"signedBy","keyPath":"/k"}'), /Unrecognized keyType value ""/],
  [
    'a typo in the key type',
    only('{"type":"signedBy","keyType":"GPGkeys","keyPath":"/k"}'),
    /Unrecognized keyType value "GPGkeys"/,
  ],
  ['no key', only('{"type":"signedBy","keyType":"GPGKeys"}'), /none of them present/],
  ['an empty path', signedBy('"keyPath":""'), /keyPath is empty/],
  ['two keys', signedBy('"keyPath":"/k","keyData":"AAAA"'), /cannot be used simultaneously/],
  ['bad base64', signedBy('"keyData":"AAA"'), /not valid base64/],
  ['paths that are no strings', signedBy('"keyPaths":[1]'), /not an array of strings/],
  [
    'a typo in an identity',
    identity('{"type":"matchexact"}'),
    /Unknown policy reference match type "matchexact"/,
  ],
  ['a null identity', identity('null'), /object expected/],
  [
    'a reference without tag',
    identity('{"type":"exactReference","dockerReference":"a/b"}'),
    /neither a tag nor digest/,
  ],
  [
    'a bad repository',
    identity('{"type":"exactRepository","dockerRepository":"A/B"}'),
    /Invalid format of dockerRepository/,
  ],
  [
    'a bad prefix',
    identity('{"type":"remapIdentity","prefix":"a:tag:1","signedPrefix":"b"}'),
    /prefix "a:tag:1" is not valid/,
  ],
  [
    'an empty prefix',
    identity('{"type":"remapIdentity","prefix":"","signedPrefix":"b"}'),
    /prefix "" is not valid/,
  ],
  ['S17: no sigstore source', only('{"type":"sigstoreSigned"}'), /exactly one of keyPath/],
  [
    'S17: two sigstore sources',
    sigstore(`"keyPath":"/k","fulcio":{${FULCIO}},"rekorPublicKeyPath":"/r"`),
    /exactly one of keyPath/,
  ],
  ['S17: fulcio without rekor', sigstore(`"fulcio":{${FULCIO}}`), /must be specified if fulcio is used/],
  [
    'S17: pki with rekor',
    sigstore('"pki":{"caRootsPath":"/r","subjectEmail":"a@b"},"rekorPublicKeyPath":"/r"'),
    /not supported for pki/,
  ],
  [
    'S17: two rekor sources',
    sigstore('"keyPath":"/k","rekorPublicKeyPath":"/r","rekorPublicKeyData":"AAAA"'),
    /simultaneously/,
  ],
  [
    'fulcio without issuer',
    sigstore('"fulcio":{"caPath":"/ca","subjectEmail":"a@b"},"rekorPublicKeyPath":"/r"'),
    /oidcIssuer not specified/,
  ],
  ['pki without subject', sigstore('"pki":{"caRootsPath":"/r"}'), /At least one of subjectEmail/],
  ['a scope too deep for a cluster', scope('atomic', '/x/../y'), /Invalid scope name/],
  ['a relative directory', scope('dir', 'images'), /Must be an absolute path/],
  ['the root directory', scope('oci', '/'), /Use the generic default scope/],
  ['a directory that is not canonical', scope('oci-archive', '/a/../b'), /non-canonical/],
  ['a scope of docker-archive', scope('docker-archive', '/a'), /does not support any scopes/],
  ['a digest for the daemon', scope('docker-daemon', `sha256:${'a'.repeat(64)}`), /can not use algo:digest/],
  ['a store without brackets', scope('containers-storage', 'docker.io/x'), /needs a \[driver/],
  ['a store with a relative root', scope('containers-storage', '[overlay@var]'), /not an absolute path/],
  ['nesting without end', `{"default":[${'['.repeat(100)}${']'.repeat(100)}]}`, /nested deeper/],
];
for (const [name, text, why] of REFUSED)
  test(`S15 refused: ${name}`, () =>
    assert.throws(() => parsePolicy(text), { name: 'ConfigError', code: 'bad-config', message: why }));

test('places: the explicit file, the home, the system', async ({ directory }) => {
  const home = join(directory, 'home');
  const systemPath = join(directory, 'system.json');
  writeFileSync(systemPath, `{${DEFAULT}}`);
  assert.equal((await readPolicy({ home, systemPath })).path, systemPath);
  const own = join(home, '.config/containers/policy.json');
  mkdirSync(join(home, '.config/containers'), { recursive: true });
  writeFileSync(own, `{${DEFAULT}}`);
  assert.equal((await readPolicy({ home, systemPath })).path, own);
  assert.equal((await readPolicy({ path: systemPath, home, systemPath })).path, systemPath);
});

test('no file anywhere: the built-in policy and one warning', async ({ directory }) => {
  const warnings: string[] = [];
  const policy = await readPolicy({
    home: directory,
    systemPath: join(directory, 'none.json'),
    onWarning: (text) => warnings.push(text),
  });
  assert.deepEqual(policy.default, [{ type: 'insecureAcceptAnything' }]);
  assert.match(
    warnings.join('\n'),
    /^no policy.json file found at any of the following: .*accepting any image/,
  );
});

test('an explicit file that is not there is an error', async ({ directory }) => {
  await assert.rejects(readPolicy({ path: join(directory, 'none.json') }), { code: 'not-found' });
});

test('symlinked policy: followed; dangling: an error and no fallback', async ({ directory }) => {
  const own = join(directory, '.config/containers/policy.json');
  mkdirSync(join(directory, '.config/containers'), { recursive: true });
  symlinkSync(join(directory, 'real.json'), own);
  const system = join(directory, 'system.json');
  writeFileSync(system, only('{"type":"insecureAcceptAnything"}'));
  await assert.rejects(readPolicy({ home: directory, systemPath: system }), { code: 'not-found' });
  writeFileSync(join(directory, 'real.json'), `{${DEFAULT}}`);
  assert.deepEqual((await readPolicy({ home: directory, systemPath: system })).default, [{ type: 'reject' }]);
});

test('a directory, and a pipe that was not asked for, are errors and never a hang', async ({ directory }) => {
  await assert.rejects(readPolicyFile(directory), { code: 'unreadable' });
  const pipe = join(directory, 'pipe');
  if (spawnSync('mkfifo', [pipe]).status !== 0) return;
  await assert.rejects(readPolicyFile(pipe), { code: 'unreadable', message: /not a regular file/ });
});

test('unreadable policy: an error and no fallback', async ({ directory }) => {
  const own = join(directory, '.config/containers/policy.json');
  mkdirSync(join(directory, '.config/containers'), { recursive: true });
  writeFileSync(own, `{${DEFAULT}}`, { mode: 0o000 });
  const systemPath = join(directory, 'system.json');
  writeFileSync(systemPath, only('{"type":"insecureAcceptAnything"}'));
  // Root reads everything, so it becomes somebody else for a moment.
  const isRoot = process.getuid?.() === 0;
  chmodSync(directory, 0o755);
  if (isRoot) process.seteuid?.(65_534);
  try {
    await assert.rejects(readPolicy({ home: directory, systemPath }), { code: 'unreadable' });
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
});

test('a malformed file names itself', async ({ directory }) => {
  const path = join(directory, 'p.json');
  writeFileSync(path, only('{"type":"rejct"}'));
  await assert.rejects(readPolicyFile(path), {
    message: `invalid policy in "${path}": Unknown policy requirement type "rejct"`,
  });
});

test.run();
