import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { slipway } from '../../../bin/slipway.ts';
import { certificate, makeKey } from '../../support/openpgp.ts';
import { runCaptured } from '../../support/tool.ts';

const test = suite<{ directory: string }>('slipway trust');
test.before.each((context) => {
  context.directory = mkdtempSync(join(tmpdir(), 'slipway-cli-trust-'));
  writeFileSync(join(context.directory, 'key.gpg'), certificate(makeKey()));
});
test.after.each(({ directory }) => rmSync(directory, { recursive: true, force: true }));

const run = (directory: string, ...words: string[]) =>
  runCaptured(
    slipway,
    [
      'trust',
      words[0] as string,
      '--policypath',
      'policy.json',
      '--registrypath',
      'registries.d',
      ...words.slice(1),
    ],
    {
      workingDirectory: directory,
      environment: { HOME: directory },
    },
  );

test('set and show: columns of podman image trust', async ({ directory }) => {
  for (const words of [
    ['-t', 'reject', 'default'],
    ['-f', 'key.gpg', '--lookaside', 'https://sig.example', '--use-sigstore-attachments', 'reg.example/app'],
    ['--type=accept', 'docker.io/library'],
  ])
    assert.deepEqual(await run(directory, 'set', ...words), { code: 0, stdout: '', stderr: '' });
  assert.equal(
    (await run(directory, 'show')).stdout,
    [
      'TRANSPORT   NAME               TYPE    ID                STORE',
      'all         default            reject                    ',
      'repository  docker.io/library  accept                    ',
      'repository  reg.example/app    signed  test@example.com  https://sig.example',
      '',
    ].join('\n'),
  );
  assert.equal(
    readFileSync(join(directory, 'registries.d/reg.example-app.yaml'), 'utf8'),
    'docker:\n  reg.example/app:\n    lookaside: https://sig.example\n    use-sigstore-attachments: true\n',
  );
  const { stdout } = await run(directory, 'show', '--json');
  assert.deepEqual(JSON.parse(stdout)[2], {
    transport: 'repository',
    name: 'reg.example/app',
    repo_name: 'reg.example/app',
    sigstore: 'https://sig.example',
    type: 'signed',
    gpg_id: 'test@example.com',
  });
  const raw = await run(directory, 'show', '--raw');
  // With one end of line more, as Podman prints it.
  assert.equal(raw.stdout, `${readFileSync(join(directory, 'policy.json'), 'utf8')}\n`);
  assert.match((await run(directory, 'show', '-n')).stdout, /^all /);
});

test('storage alone leaves the policy as it is', async ({ directory }) => {
  assert.equal((await run(directory, 'set', '--lookaside-staging', 'file:///s', 'default')).code, 0);
  assert.equal(existsSync(join(directory, 'policy.json')), false);
  assert.equal((await run(directory, 'set', '--use-sigstore-attachments=false', 'default')).code, 0);
  assert.equal(
    readFileSync(join(directory, 'registries.d/default.yaml'), 'utf8'),
    'default-docker:\n  lookaside-staging: file:///s\n  use-sigstore-attachments: false\n',
  );
});

for (const [name, words, why] of [
  [
    'a bogus type',
    ['-t', 'bogus', 'x'],
    /invalid choice: bogus \(choose from 'accept', 'reject', 'signedBy', 'sigstoreSigned'\)/,
  ],
  ['no key', ['x'], /at least one public key must be defined for type 'signedBy'/],
  ['a key that is not there', ['-f', 'none.gpg', 'x'], /cannot read the public key/],
  ['no registry', ['-t', 'accept'], /default or a registry name must be specified/],
] as const)
  test(`refused: ${name}`, async ({ directory }) => {
    const { code, stderr } = await run(directory, 'set', ...words);
    assert.equal(code, 1);
    assert.match(stderr, why);
    assert.equal(existsSync(join(directory, 'policy.json')), false);
  });

test('a malformed policy is shown as an error and never replaced', async ({ directory }) => {
  writeFileSync(join(directory, 'policy.json'), '{"default":[{"type":"rejct"}]}');
  assert.match((await run(directory, 'show')).stderr, /Unknown policy requirement type "rejct"/);
  assert.equal((await run(directory, 'set', '-t', 'accept', 'x')).code, 1);
  assert.match(readFileSync(join(directory, 'policy.json'), 'utf8'), /rejct/);
});

test.run();
