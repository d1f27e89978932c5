import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import { MEDIA_TYPE } from '../../../image/media-type.ts';
import { parseReference } from '../../../image/reference.ts';
import { BUNDLE_TYPE } from '../../../sign/sigstore/bundle-format.ts';
import { decryptPrivateKey, generateSigstoreKey } from '../../../sign/sigstore/private-key.ts';
import { attachBundle } from '../../../transport/docker/sign-in-place.ts';
import { dockerContext } from '../../support/docker-context.ts';
import { seedImage, startTestRegistry, type TestRegistry } from '../../support/registry.ts';
import { SigstoreInstance } from '../../support/sigstore-instance.ts';
import { findPeer, ours, run, workDirectory, writeDirImage } from './peers.ts';

// Cosign 3 and Skopeo 1.11 or newer; SLIPWAY_PEER_COSIGN and SLIPWAY_PEER_SKOPEO name them where they are not on the PATH.
const cosign = findPeer('cosign', 'SLIPWAY_PEER_COSIGN', ['version']);
const skopeo = findPeer(
  'skopeo',
  'SLIPWAY_PEER_SKOPEO',
  ['generate-sigstore-key', '--help'],
  /--output-prefix/,
);
const test = suite('sigstore signatures with cosign and skopeo');
const withCosign = cosign ? test : test.skip;
const withSkopeo = skopeo ? test : test.skip;
if (!cosign) console.log('SKIP sigstore interop with cosign: cosign not installed');
if (!skopeo) console.log('SKIP sigstore interop with skopeo: no skopeo with generate-sigstore-key installed');

let work: ReturnType<typeof workDirectory>;
let registry: TestRegistry;
const path = (...parts: string[]) => join(work.directory, ...parts);
const PASSWORD = { COSIGN_PASSWORD: 'secret' };

test.before(async () => {
  work = workDirectory();
  registry = await startTestRegistry();
  mkdirSync(path('img'));
  mkdirSync(path('registries.d'));
  writeDirImage(path('img'));
  writeFileSync(
    path('registries.d/a.yaml'),
    `default-docker:\n  lookaside: file://${path('lookaside')}\n  use-sigstore-attachments: true\n`,
  );
  writeFileSync(path('pass'), 'secret\n');
  const keys = await generateSigstoreKey(Buffer.from('secret'));
  writeFileSync(path('key.private'), keys.privateKey);
  writeFileSync(path('key.pub'), keys.publicKey);
});
test.after(async () => {
  await registry.close();
  work.remove();
});

const places = () => ['--registries.d', path('registries.d')];
const push = (program: string | undefined, name: string) => {
  const image = `docker://${registry.address}/${name}:1`;
  const args = [
    ...places(),
    '--insecure-policy',
    'copy',
    '--dest-tls-verify=false',
    '--sign-by-sigstore-private-key',
    path('key.private'),
    '--sign-passphrase-file',
    path('pass'),
    `dir:${path('img')}`,
    image,
  ];
  return program ? run(program, args) : ours('skopeo', args);
};
const pull = (program: string | undefined, name: string, identity: string) => {
  const policy = path(`${identity}.json`);
  const requirement = {
    type: 'sigstoreSigned',
    keyPath: path('key.pub'),
    signedIdentity: { type: identity },
  };
  writeFileSync(policy, JSON.stringify({ default: [requirement] }));
  const args = [
    '--policy',
    policy,
    ...places(),
    'copy',
    '--src-tls-verify=false',
    `docker://${registry.address}/${name}:1`,
    `dir:${path(`${name}-${program ? 'theirs' : 'ours'}`)}`,
  ];
  return program ? run(program, args) : ours('skopeo', args);
};
const cosignVerify = (name: string, ...more: string[]) =>
  run(cosign as string, [
    'verify',
    '--key',
    path('key.pub'),
    '--insecure-ignore-tlog',
    '--allow-http-registry',
    ...more,
    `${registry.address}/${name}:1`,
  ]);
const cosignSign = (name: string, digest: string, ...more: string[]) =>
  run(
    cosign as string,
    [
      'sign',
      '--yes',
      '--key',
      path('key.private'),
      '--use-signing-config=false',
      '--tlog-upload=false',
      '--allow-http-registry',
      ...more,
      `${registry.address}/${name}@${digest}`,
    ],
    PASSWORD,
  );
const digestOfTag = async (name: string) => {
  const accept = 'application/vnd.oci.image.manifest.v1+json';
  const response = await fetch(`${registry.url}/v2/${name}/manifests/1`, {
    method: 'HEAD',
    headers: { accept },
  });
  return response.headers.get('docker-content-digest') as string;
};

withSkopeo('--sign-by-sigstore-private-key: theirs here and ours there', async () => {
  for (const [name, signer] of [
    ['theirs', skopeo],
    ['ours', undefined],
  ] as const) {
    const pushed = await push(signer, name);
    assert.equal(pushed.code, 0, pushed.output);
    for (const reader of [skopeo, undefined]) {
      const pulled = await pull(reader, name, 'matchExact');
      assert.equal(pulled.code, 0, `${name} signed, ${reader ?? 'ours'} read: ${pulled.output}`);
    }
  }
});

withSkopeo('generate-sigstore-key: their keys open here', async () => {
  const made = await run(skopeo as string, [
    'generate-sigstore-key',
    '--output-prefix',
    path('their'),
    '--passphrase-file',
    path('pass'),
  ]);
  assert.equal(made.code, 0, made.output);
  await decryptPrivateKey(readFileSync(path('their.private')), Buffer.from('secret'));
});

withCosign('our key opens in cosign, and a key of cosign here', async () => {
  const shown = await run(cosign as string, ['public-key', '--key', path('key.private')], PASSWORD);
  assert.equal(shown.output.trim(), readFileSync(path('key.pub'), 'utf8').trim());
  const made = await run(
    cosign as string,
    ['generate-key-pair', '--output-key-prefix', path('cosign')],
    PASSWORD,
  );
  assert.equal(made.code, 0, made.output);
  await decryptPrivateKey(readFileSync(path('cosign.key')), Buffer.from('secret'));
});

withCosign('ours verify with cosign: attachment and bundle', async () => {
  const image = `docker://${registry.address}/both:1`;
  const copied = await ours('skopeo', [
    '--insecure-policy',
    'copy',
    '--dest-tls-verify=false',
    `dir:${path('img')}`,
    image,
  ]);
  assert.equal(copied.code, 0, copied.output);
  const signed = await ours('slipway', [
    'sign',
    '--tls-verify=false',
    ...places(),
    '--sign-by-sigstore-private-key',
    path('key.private'),
    '--sign-passphrase-file',
    path('pass'),
    '--bundle',
    image,
  ]);
  assert.equal(signed.code, 0, signed.output);
  for (const format of ['--new-bundle-format=false', '--new-bundle-format=true']) {
    const verified = await cosignVerify('both', format);
    assert.equal(verified.code, 0, `${format}: ${verified.output}`);
  }
});

withCosign('theirs verify here: attachment and bundle', async () => {
  for (const [name, flags] of [
    ['cosign-bundle', []],
    ['cosign-tag', ['--new-bundle-format=false']],
  ] as const) {
    const image = `docker://${registry.address}/${name}:1`;
    await ours('skopeo', [
      '--insecure-policy',
      'copy',
      '--dest-tls-verify=false',
      `dir:${path('img')}`,
      image,
    ]);
    const signed = await cosignSign(name, await digestOfTag(name), ...flags);
    assert.equal(signed.code, 0, signed.output);
    const found = await ours('slipway', [
      'verify',
      '--json',
      '--tls-verify=false',
      ...places(),
      '--insecure-policy',
      '-k',
      path('key.pub'),
      image,
    ]);
    assert.equal(found.code, 0, found.output);
    const { signatures } = JSON.parse(found.output);
    assert.deepEqual(
      signatures.map(({ form, valid }: { form: string; valid: boolean }) => [form, valid]),
      [[name === 'cosign-tag' ? 'cosign-tag' : 'bundle', true]],
    );
  }
  const pulled = await pull(undefined, 'cosign-tag', 'matchRepository');
  assert.equal(pulled.code, 0, pulled.output);
  const unseen = await pull(undefined, 'cosign-bundle', 'matchRepository');
  assert.match(unseen.output, /A signature was required, but no signature exists/);
});

withCosign('a bundle with an entry of Rekor 2 and a timestamp: cosign and we decide alike', async () => {
  const instance = new SigstoreInstance(Date.now() - 60_000);
  const { digest } = await seedImage(registry, 'instance', '1');
  const size = await manifestSize('instance', digest);
  const bundle = instance.bundle(digest);
  await attachBundle(
    parseReference(`${registry.address}/instance`),
    { mediaType: MEDIA_TYPE.ociManifest, digest, size },
    { bytes: bundle, mediaType: BUNDLE_TYPE, annotations: {} },
    dockerContext(),
  );
  writeFileSync(path('root.json'), instance.trustedRoot());
  for (const [identity, code] of [
    ['dev@example.com', 0],
    ['x@example.com', 1],
  ] as const) {
    const who = ['--trusted-root', path('root.json'), '--certificate-identity', identity];
    const issuer = ['--certificate-oidc-issuer', 'https://issuer.example'];
    const image = `${registry.address}/instance:1`;
    const theirs = await run(cosign as string, [
      ...['verify', '--new-bundle-format', '--allow-http-registry', '--insecure-ignore-sct'],
      ...[...who, ...issuer, image],
    ]);
    assert.equal(theirs.code === 0 ? 0 : 1, code, theirs.output);
    const ownWords = ['verify', '--tls-verify=false', '--insecure-policy', ...who, ...issuer, image];
    const found = await ours('slipway', ownWords);
    assert.equal(found.code, code, found.output);
  }
});

async function manifestSize(repository: string, digest: string): Promise<number> {
  const accept = MEDIA_TYPE.ociManifest;
  const answer = await fetch(`${registry.url}/v2/${repository}/manifests/${digest}`, { headers: { accept } });
  return (await answer.arrayBuffer()).byteLength;
}

test.run();
