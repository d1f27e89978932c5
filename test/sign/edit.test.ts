import assert from 'node:assert/strict';
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { parsePolicy } from '../../config/policy.ts';
import { describeTrust } from '../../sign/policy/describe.ts';
import { editFile, setPolicyRule, setSignatureStorage } from '../../sign/policy/edit.ts';

const test = suite<{ directory: string }>('trust');
test.before.each((context) => {
  context.directory = mkdtempSync(join(tmpdir(), 'slipway-trust-'));
});
test.after.each(({ directory }) => rmSync(directory, { recursive: true, force: true }));

test('a rule for a scope, for the default, in a new file', () => {
  const first = setPolicyRule(undefined, 'quay.io/x', { type: 'signedBy', keyPaths: ['/a', '/b'] });
  assert.deepEqual(JSON.parse(first), {
    default: [{ type: 'insecureAcceptAnything' }],
    transports: {
      docker: {
        'quay.io/x': [
          { type: 'signedBy', keyType: 'GPGKeys', keyPath: '/a' },
          { type: 'signedBy', keyType: 'GPGKeys', keyPath: '/b' },
        ],
      },
    },
  });
  const second = setPolicyRule(first, 'default', { type: 'reject' });
  assert.deepEqual(JSON.parse(second), { ...JSON.parse(first), default: [{ type: 'reject' }] });
  const third = JSON.parse(setPolicyRule(second, 'quay.io/x', { type: 'sigstoreSigned', keyPaths: ['/c'] }));
  assert.deepEqual(third.transports.docker['quay.io/x'], [{ type: 'sigstoreSigned', keyPath: '/c' }]);
});

test('a malformed file is not touched', () => {
  assert.throws(() => setPolicyRule('{"default":[{"type":"x"}]}', 'a', { type: 'accept' }), {
    code: 'bad-config',
  });
  assert.throws(
    () => setPolicyRule(undefined, 'a', { type: 'signedBy', keyPaths: [] }),
    /at least one public key/,
  );
});

test('registries.d keeps comments and other namespaces', async () => {
  const text = '# ours\ndocker:\n  a.example:\n    # first\n    lookaside: https://a\n';
  const edited = await setSignatureStorage(text, 'b.example', {
    lookaside: 'https://b',
    'use-sigstore-attachments': true,
  });
  assert.equal(
    edited,
    '# ours\ndocker:\n  a.example:\n    # first\n    lookaside: https://a\n  b.example:\n    lookaside: https://b\n    use-sigstore-attachments: true\n',
  );
  assert.equal(
    await setSignatureStorage(undefined, 'default', { lookaside: 'x' }),
    'default-docker:\n  lookaside: x\n',
  );
  await assert.rejects(setSignatureStorage('docker: [', 'a', {}), { code: 'bad-parameters' });
});

test('files are replaced whole, keep their mode, and links stay links', async ({ directory }) => {
  const [file, link] = [join(directory, 'policy.json'), join(directory, 'link.json')];
  writeFileSync(file, 'old', { mode: 0o640 });
  symlinkSync(file, link);
  await editFile(link, (text) => `${text}+new`);
  assert.equal(readFileSync(file, 'utf8'), 'old+new');
  assert.equal(statSync(file).mode & 0o777, 0o640);
  assert.ok(lstatSync(link).isSymbolicLink());
  await assert.rejects(
    editFile(file, () => {
      throw new Error('no');
    }),
    /no/,
  );
  assert.equal(readFileSync(file, 'utf8'), 'old+new');
  await editFile(join(directory, 'deep/new.yaml'), (text) => `${text}`);
  assert.deepEqual(readdirSync(directory).sort(), ['deep', 'link.json', 'policy.json']);
});

test('trust show: rows as podman orders them', async () => {
  const policy = parsePolicy(
    JSON.stringify({
      default: [{ type: 'reject' }],
      transports: {
        'docker-daemon': { '': [{ type: 'insecureAcceptAnything' }] },
        docker: {
          'b.example/x': [{ type: 'sigstoreSigned', keyPath: '/none' }],
          'a.example': [{ type: 'signedBy', keyType: 'GPGKeys', keyPath: '/none' }],
        },
      },
    }),
  );
  const storage = {
    defaultDocker: { lookaside: 'https://d', path: '/x' },
    docker: new Map([['b.example', { lookaside: 'https://b', path: '/x' }]]),
  };
  const rows = await describeTrust(policy, storage);
  assert.deepEqual(
    rows.map(({ transport, name, type, id, store }) => [transport, name, type, id, store].join('|')),
    [
      'all|default|reject||https://d',
      'repository|a.example|signed||https://d',
      'repository|b.example/x|sigstoreSigned|N/A|',
      'docker-daemon||accept||https://d',
    ],
  );
});

test.run();
