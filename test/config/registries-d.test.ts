import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import {
  defaultLookaside,
  lookasideFor,
  readSignatureStorage,
  usesSigstoreAttachments,
} from '../../config/registries-d.ts';

const test = suite<{ directory: string }>('registries.d');
test.before.each((context) => {
  context.directory = mkdtempSync(join(tmpdir(), 'slipway-registries-d-'));
});
test.after.each(({ directory }) => rmSync(directory, { recursive: true, force: true }));

const SCOPES = {
  policyIdentity: 'example.com:5000/team/app:1',
  policyNamespaces: ['example.com:5000/team/app', 'example.com:5000/team', 'example.com:5000', '*.com'],
};

test('the most specific namespace that has the key wins, then the default', async ({ directory }) => {
  writeFileSync(
    join(directory, 'a.yaml'),
    'default-docker:\n  lookaside: https://default\n  use-sigstore-attachments: true\ndocker:\n' +
      '  example.com:5000:\n    lookaside: https://host\n    lookaside-staging: file:///staging\n' +
      '  example.com:5000/team:\n    use-sigstore-attachments: false\n',
  );
  writeFileSync(join(directory, 'b.yaml'), 'docker:\n  "*.com":\n    lookaside: https://wild\n');
  writeFileSync(join(directory, 'ignored.txt'), '{{{');
  const storage = await readSignatureStorage({ directory });
  assert.equal(lookasideFor(storage, SCOPES, 'read'), 'https://host');
  assert.equal(lookasideFor(storage, SCOPES, 'write'), 'file:///staging');
  assert.equal(usesSigstoreAttachments(storage, SCOPES), false);
  const other = { policyIdentity: 'quay.io/x:1', policyNamespaces: ['quay.io/x', 'quay.io', '*.io'] };
  assert.equal(lookasideFor(storage, other, 'write'), 'https://default');
  assert.equal(usesSigstoreAttachments(storage, other), true);
});

test('old key names, empty files, and a missing directory', async ({ directory }) => {
  writeFileSync(
    join(directory, 'a.yaml'),
    'docker:\n  a.example:\n    sigstore: https://old\n    sigstore-staging: file:///old\n',
  );
  writeFileSync(join(directory, 'b.yaml'), '');
  const storage = await readSignatureStorage({ directory });
  const scopes = { policyIdentity: 'a.example/x:1', policyNamespaces: ['a.example/x', 'a.example'] };
  assert.equal(lookasideFor(storage, scopes, 'read'), 'https://old');
  assert.equal(lookasideFor(storage, scopes, 'write'), 'file:///old');
  const none = await readSignatureStorage({ directory: join(directory, 'none') });
  assert.equal(lookasideFor(none, scopes, 'read'), undefined);
  assert.equal(defaultLookaside({ root: true, home: '/h' }), 'file:///var/lib/containers/sigstore');
  assert.equal(defaultLookaside({ root: false, home: '/h' }), 'file:///h/.local/share/containers/sigstore');
});

test('the user directory is used when it exists', async ({ directory }) => {
  const systemDirectory = join(directory, 'etc');
  const own = join(directory, '.config/containers/registries.d');
  mkdirSync(systemDirectory);
  writeFileSync(join(systemDirectory, 's.yaml'), 'default-docker: {lookaside: "https://system"}\n');
  const read = async () =>
    (await readSignatureStorage({ home: directory, systemDirectory })).defaultDocker?.lookaside;
  assert.equal(await read(), 'https://system');
  mkdirSync(own, { recursive: true });
  assert.equal(await read(), undefined);
});

for (const [name, files, why] of [
  [
    'two defaults',
    ['default-docker: {lookaside: a}', 'default-docker: {lookaside: b}'],
    /"default-docker" defined both in/,
  ],
  [
    'one namespace twice',
    ['docker: {a.example: {}}', 'docker: {a.example: {}}'],
    /"docker" namespace "a.example" defined both in/,
  ],
  ['a duplicate key', ['docker: {a: {}, a: {}}'], /parsing .*0.yaml/],
  ['bad YAML', ['docker: ['], /parsing/],
  ['a list', ['[]'], /not a mapping/],
  ['a namespace that is text', ['docker: {a: x}'], /docker.a is not a mapping/],
  ['a flag that is text', ['docker: {a: {use-sigstore-attachments: "yes"}}'], /not a boolean/],
  ['a URL that is a number', ['docker: {a: {lookaside: 1}}'], /lookaside is not a string/],
] as const)
  test(`refused: ${name}`, async ({ directory }) => {
    for (const [at, text] of files.entries()) writeFileSync(join(directory, `${at}.yaml`), `${text}\n`);
    await assert.rejects(readSignatureStorage({ directory }), { code: 'bad-config', message: why });
  });

test.run();
