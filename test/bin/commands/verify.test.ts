import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { slipway } from '../../../bin/slipway.ts';
import { type Digest, digestOf } from '../../../image/digest.ts';
import { MEDIA_TYPE } from '../../../image/media-type.ts';
import { SIGSTORE_SIGNATURE_TYPE } from '../../../sign/sigstore/annotations.ts';
import { generateSigstoreKey } from '../../../sign/sigstore/private-key.ts';
import { readKeyring } from '../../../sign/simple/keyring.ts';
import {
  seedBlob,
  seedImage,
  seedManifest,
  startTestRegistry,
  type TestRegistry,
} from '../../support/registry.ts';
import { SigstoreInstance } from '../../support/sigstore-instance.ts';
import { runCaptured } from '../../support/tool.ts';

interface Context {
  directory: string;
  registry: TestRegistry;
}

/** Made once: deriving a key from a passphrase is slow on purpose. */
const keys = makeKeys();

async function makeKeys(): Promise<Record<string, string>> {
  const sigstore = await generateSigstoreKey(Buffer.from('secret'));
  const openpgp = await import('openpgp');
  const pair = await openpgp.generateKey({
    type: 'ecc',
    curve: 'ed25519Legacy',
    userIDs: [{ email: 'a@b.example' }],
    date: new Date(Date.now() - 5000),
  });
  return {
    'app.private': sigstore.privateKey,
    'app.pub': sigstore.publicKey,
    'app.asc': pair.privateKey,
    'app.gpg': pair.publicKey,
  };
}

const test = suite<Context>('slipway sign and verify');
test.before.each(async (context) => {
  context.registry = await startTestRegistry();
  context.directory = mkdtempSync(join(tmpdir(), 'slipway-cli-verify-'));
  const { directory } = context;
  mkdirSync(join(directory, 'registries.d'));
  writeFileSync(
    join(directory, 'registries.d/a.yaml'),
    `default-docker:\n  lookaside: file://${directory}/lookaside\n`,
  );
  writeFileSync(join(directory, 'pass'), 'secret\n');
  for (const [name, content] of Object.entries(await keys)) writeFileSync(join(directory, name), content);
});
test.after.each(async ({ registry, directory }) => {
  await registry.close();
  rmSync(directory, { recursive: true, force: true });
});

const run = ({ directory, registry }: Context, ...words: string[]) =>
  runCaptured(
    slipway,
    [
      ...words.slice(0, 1),
      '--tls-verify=false',
      '--registries.d',
      'registries.d',
      ...words.slice(1),
      `${registry.address}/app:1`,
    ],
    {
      workingDirectory: directory,
      environment: { HOME: directory, PATH: process.env.PATH },
    },
  );

async function attach(registry: TestRegistry, subject: Digest, bundle: Uint8Array): Promise<void> {
  const mediaType = 'application/vnd.dev.sigstore.bundle.v0.3+json';
  const config = { mediaType: MEDIA_TYPE.ociEmpty, digest: await seedBlob(registry, 'app', '{}'), size: 2 };
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    artifactType: mediaType,
    config,
    layers: [{ mediaType, digest: await seedBlob(registry, 'app', bundle), size: bundle.length }],
    subject: { mediaType: MEDIA_TYPE.ociManifest, digest: subject, size: 1 },
  });
  await seedManifest(registry, 'app', digestOf(manifest), manifest);
}

const KEYS = ['-k', 'app.pub', '-k', 'app.gpg', '--insecure-policy'];
const PRIVATE = ['--sign-by-sigstore-private-key', 'app.private', '--sign-passphrase-file', 'pass'];

test('three forms at once, each seen by its readers', async (context) => {
  const { digest } = await seedImage(context.registry, 'app', '1');
  assert.equal((await run(context, 'sign', '--sign-by', './app.asc')).stdout, `${digest} simple\n`);
  const signed = await run(context, 'sign', ...PRIVATE, '--bundle');
  assert.equal(signed.stdout, `${digest} cosign-tag\n${digest} bundle\n`, signed.stderr);
  const { code, stdout, stderr } = await run(context, 'verify', '--json', ...KEYS);
  assert.equal(code, 0, stderr);
  const found = JSON.parse(stdout);
  assert.deepEqual(
    found.signatures.map(({ form, valid, consumers, identity }: Record<string, unknown>) => [
      form,
      valid,
      consumers,
      identity,
    ]),
    [
      ['simple', true, { podman: 'yes', cosign: 'no', referrers: 'no' }, `${context.registry.address}/app:1`],
      [
        'cosign-tag',
        true,
        { podman: 'yes*', cosign: 'yes', referrers: 'no' },
        `${context.registry.address}/app:1`,
      ],
      ['bundle', true, { podman: 'no', cosign: '3+', referrers: 'yes' }, undefined],
    ],
  );
  const text = (await run(context, 'verify', ...KEYS)).stdout;
  assert.match(text, /^FORM +DIGEST +SIGNED BY +FOR +PODMAN\/SKOPEO +COSIGN +REFERRERS +RESULT$/m);
});

test('a key of the Sequoia key store, found by its fingerprint in any of the files', async (context) => {
  const { directory } = context;
  const { digest } = await seedImage(context.registry, 'app', '1');
  const store = join(directory, '.local/share/sequoia/keystore/softkeys');
  mkdirSync(store, { recursive: true });
  const content = await keys;
  writeFileSync(join(store, 'note.pgp'), 'not a key');
  writeFileSync(join(store, 'alice.pgp'), content['app.asc'] as string);
  const { fingerprints } = readKeyring([Buffer.from(content['app.gpg'] as string)]);
  const signed = await run(context, 'sign', '--sign-by-sq-fingerprint', fingerprints[0]?.toLowerCase() ?? '');
  assert.equal(signed.stdout, `${digest} simple\n`, signed.stderr);
  assert.equal((await run(context, 'verify', ...KEYS)).code, 0);
});

test('a bundle by a parameter file', async (context) => {
  const { directory } = context;
  const { digest } = await seedImage(context.registry, 'app', '1');
  const parameters = {
    privateKeyFile: `${directory}/app.private`,
    privateKeyPassphraseFile: `${directory}/pass`,
  };
  writeFileSync(join(directory, 'sign.yaml'), JSON.stringify(parameters));
  const signed = await run(context, 'sign', '--sign-by-sigstore', 'sign.yaml', '--bundle');
  assert.equal(signed.stdout, `${digest} cosign-tag\n${digest} bundle\n`, signed.stderr);
  const { stdout } = await run(context, 'verify', '--json', ...KEYS);
  assert.deepEqual(
    JSON.parse(stdout).signatures.map(({ form, valid }: Record<string, unknown>) => `${form} ${valid}`),
    ['cosign-tag true', 'bundle true'],
  );
});

test('signing twice keeps the first signature', async (context) => {
  await seedImage(context.registry, 'app', '1');
  for (let time = 0; time < 2; time += 1)
    assert.equal((await run(context, 'sign', '--sign-by', './app.asc')).code, 0);
  const { signatures } = JSON.parse((await run(context, 'verify', '--json', ...KEYS)).stdout);
  assert.equal(signatures.length, 2);
});

test('S09: an unsigned image, and keys that fit nothing, end with failure', async (context) => {
  await seedImage(context.registry, 'app', '1');
  const unsigned = await run(context, 'verify', ...KEYS);
  assert.equal(unsigned.code, 1);
  assert.match(unsigned.stdout, /no signatures found/);
  await run(context, 'sign', ...PRIVATE);
  const other = await generateSigstoreKey(Buffer.from(''));
  writeFileSync(join(context.directory, 'other.pub'), other.publicKey);
  const stranger = await run(context, 'verify', '-k', 'other.pub', '--insecure-policy');
  assert.equal(stranger.code, 1);
  assert.match(stranger.stdout, /bad: cryptographic signature verification failed/);
});

test('a policy that refuses the image makes it fail, and keys come from the policy', async (context) => {
  const { directory } = context;
  await seedImage(context.registry, 'app', '1');
  await run(context, 'sign', '--sign-by', './app.asc');
  const requirement = { type: 'signedBy', keyType: 'GPGKeys', keyPath: join(directory, 'app.gpg') };
  writeFileSync(join(directory, 'p.json'), JSON.stringify({ default: [requirement] }));
  const good = await run(context, 'verify', '--policy', join(directory, 'p.json'));
  assert.equal(good.code, 0, good.stdout + good.stderr);
  assert.match(good.stdout, /policy.json: accepts the image/);
  writeFileSync(join(directory, 'p.json'), JSON.stringify({ default: [requirement, { type: 'reject' }] }));
  const refused = await run(context, 'verify', '--policy', join(directory, 'p.json'));
  assert.equal(refused.code, 1);
  assert.match(refused.stdout, /refuses the image: Running image docker:/);
});

test('S18: --insecure-policy and --require-signed contradict each other', async (context) => {
  await seedImage(context.registry, 'app', '1');
  const { code, stderr } = await run(context, 'verify', '--insecure-policy', '--require-signed');
  assert.equal(code, 1);
  assert.match(stderr, /--insecure-policy and --require-signed are mutually exclusive/);
});

test('an index: alone, or with its images', async (context) => {
  const { registry } = context;
  const digests: string[] = [];
  const manifests: object[] = [];
  for (const architecture of ['amd64', 'arm64']) {
    const { digest } = await seedImage(registry, 'app', `for-${architecture}`, [architecture]);
    const accept = MEDIA_TYPE.ociManifest;
    const found = await fetch(`${registry.url}/v2/app/manifests/${digest}`, { headers: { accept } });
    const size = (await found.arrayBuffer()).byteLength;
    digests.push(digest);
    manifests.push({ mediaType: accept, digest, size, platform: { os: 'linux', architecture } });
  }
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests };
  const { digest } = await seedManifest(registry, 'app', '1', index, MEDIA_TYPE.ociIndex);
  assert.equal((await run(context, 'sign', '--sign-by', './app.asc')).stdout, `${digest} simple\n`);
  const signed = await run(context, 'sign', '--all', ...PRIVATE, '--bundle');
  assert.equal(signed.stdout.trim().split('\n').length, 6, signed.stderr);
  const { stdout } = await run(context, 'verify', '--all', '--json', ...KEYS);
  const { subjects, signatures } = JSON.parse(stdout);
  assert.deepEqual(
    subjects.map(({ digest: one }: { digest: string }) => one),
    [digest, ...digests],
  );
  assert.deepEqual(
    signatures.map(({ form, valid }: Record<string, unknown>) => `${form} ${valid}`),
    ['simple true', ...Array(3).fill(['cosign-tag true', 'bundle true']).flat()],
  );
});

test('a bundle of Rekor 2 with a timestamp, by a trusted root and an identity', async (context) => {
  const { directory, registry } = context;
  const instance = new SigstoreInstance(Date.now() - 60_000);
  const { digest } = await seedImage(registry, 'app', '1');
  await attach(registry, digest, instance.bundle(digest));
  writeFileSync(join(directory, 'root.json'), instance.trustedRoot());
  const by = (identity: string) =>
    run(
      context,
      'verify',
      '--insecure-policy',
      ...['--trusted-root', 'root.json', '--certificate-identity', identity],
      ...['--certificate-oidc-issuer', 'https://issuer.example'],
    );
  const good = await by('dev@example.com');
  assert.equal(good.code, 0, good.stdout + good.stderr);
  assert.match(good.stdout, /^bundle .* dev@example.com by https:\/\/issuer.example .* valid$/m);
  const other = await by('x@example.com');
  assert.equal(other.code, 1);
  assert.match(other.stdout, /bad: Required subject "x@example.com" not found/);
});

test('flags of a trusted root that say too little', async (context) => {
  await seedImage(context.registry, 'app', '1');
  for (const [words, why] of [
    [['--trusted-root', 'r'], /does not say who may sign/],
    [['--certificate-identity', 'a@b'], /need each other/],
    [['--certificate-identity', 'a@b', '--certificate-oidc-issuer', 'c'], /needs --trusted-root/],
    [['-k', 'app.pub', '--trusted-root', 'app.pub'], /trusted root app.pub/],
  ] as const) {
    const { code, stderr } = await run(context, 'verify', ...words);
    assert.equal(code, 1);
    assert.match(stderr, why);
  }
});

test('a malformed attachment or bundle is listed and hides no other signature', async (context) => {
  const { registry } = context;
  const { digest } = await seedImage(registry, 'app', '1');
  await run(context, 'sign', '--sign-by', './app.asc');
  const huge = Buffer.alloc(5 * 1024 * 1024, ' ');
  const layer = {
    mediaType: SIGSTORE_SIGNATURE_TYPE,
    digest: await seedBlob(registry, 'app', huge),
    size: huge.length,
  };
  const config = { mediaType: MEDIA_TYPE.ociConfig, digest: await seedBlob(registry, 'app', '{}'), size: 2 };
  await seedManifest(registry, 'app', `sha256-${digest.slice(7)}.sig`, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config,
    layers: [layer],
  });
  await attach(registry, digest, huge);
  await attach(registry, digest, Buffer.from('{"mediaType":"x","mediaType":"y"}'));
  const { code, stdout } = await run(context, 'verify', '--json', ...KEYS);
  assert.equal(code, 0);
  assert.deepEqual(
    JSON.parse(stdout).signatures.map(({ form, valid }: Record<string, unknown>) => `${form} ${valid}`),
    ['simple true', 'cosign-tag false', 'bundle false', 'bundle false'],
  );
});

test('Notation signatures are listed, broken ones named', async (context) => {
  const { registry } = context;
  const { digest } = await seedImage(registry, 'app', '1');
  const subject = { mediaType: MEDIA_TYPE.ociManifest, digest, size: 1 };
  const config = { mediaType: MEDIA_TYPE.ociEmpty, digest: digestOf('{}'), size: 2 };
  await fetch(`${registry.url}/v2/app/blobs/uploads/?digest=${config.digest}`, {
    method: 'POST',
    body: '{}',
  });
  for (const artifactType of [
    'application/vnd.cncf.notary.signature',
    'application/vnd.dev.sigstore.bundle.v0.3+json',
  ]) {
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      artifactType,
      config,
      layers: [],
      subject,
    });
    await seedManifest(registry, 'app', digestOf(manifest), manifest);
  }
  const { stdout } = await run(context, 'verify', '--json', ...KEYS);
  const found = JSON.parse(stdout).signatures.map(({ form, valid }: Record<string, unknown>) => [
    form,
    valid,
  ]);
  assert.deepEqual(found.sort(), [
    ['bundle', false],
    ['notation', null],
  ]);
});

test('S10: 1001 attachments are refused without reading them', async (context) => {
  const { registry } = context;
  const { digest, config, layers } = await seedImage(registry, 'app', '1');
  const [layer] = layers;
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config,
    layers: Array(1001).fill(layer),
  };
  await seedManifest(registry, 'app', `sha256-${digest.slice(7)}.sig`, manifest);
  const { code, stdout } = await run(context, 'verify', ...KEYS);
  assert.equal(code, 1);
  assert.match(stdout, /more than 1000 attachments/);
});

for (const [name, words, why] of [
  ['nothing to sign with', [], /nothing to sign with/],
  ['a bundle without key', ['--sign-by', './app.asc', '--bundle'], /--bundle needs/],
  ['no fingerprint', ['--sign-by-sq-fingerprint', 'AB'], /"AB" is not a fingerprint/],
  [
    'a key that Sequoia does not have',
    ['--sign-by-sq-fingerprint', 'A'.repeat(40)],
    /no secret key A+ in the Sequoia key store/,
  ],
] as const)
  test(`sign refused: ${name}`, async (context) => {
    await seedImage(context.registry, 'app', '1');
    const { code, stderr } = await run(context, 'sign', ...words);
    assert.equal(code, 1);
    assert.match(stderr, why);
  });

test('sign refused: a wrong passphrase stores nothing', async (context) => {
  const { directory } = context;
  await seedImage(context.registry, 'app', '1');
  writeFileSync(join(directory, 'pass'), 'wrong');
  const { code, stderr } = await run(
    context,
    'sign',
    '--sign-by',
    './app.asc',
    ...PRIVATE.slice(0, 2),
    '--sign-passphrase-file',
    'none',
  );
  assert.equal(code, 1);
  assert.match(stderr, /Only one of --sign-by/);
  const refused = await run(context, 'sign', ...PRIVATE);
  assert.match(refused.stderr, /decryption failed/);
  assert.deepEqual(JSON.parse((await run(context, 'verify', '--json', ...KEYS)).stdout).signatures, []);
});

test.run();
