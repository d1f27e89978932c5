import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import { readHomeKeyring } from '../../../sign/simple/home.ts';
import { signManifest } from '../../../sign/simple/signer.ts';
import { verifyStandalone } from '../../../sign/simple/standalone.ts';
import { startTestRegistry } from '../../support/registry.ts';
import { findPeer, gpgKey, ours, run, workDirectory, writeDirImage } from './peers.ts';

// Debian's skopeo signs through gpgme; a build without it cannot be the peer here.
const skopeo = findPeer('skopeo', 'SLIPWAY_PEER_SKOPEO_GPG', ['--version']);
const gpg = findPeer('gpg', 'SLIPWAY_PEER_GPG', ['--version']);
const missing = [skopeo ? '' : 'skopeo', gpg ? '' : 'gpg'].filter(Boolean).join(' and ');
const test = suite('OpenPGP signatures with skopeo and gpg');
const it = missing ? test.skip : test;
if (missing) console.log(`SKIP OpenPGP interop: ${missing} not installed`);

let work: ReturnType<typeof workDirectory>;
let environment: Record<string, string>;
const path = (...parts: string[]) => join(work.directory, ...parts);

test.before(() => {
  work = workDirectory();
  environment = { GNUPGHOME: work.gnupg };
  mkdirSync(path('img'));
  writeDirImage(path('img'));
});
test.after(() => work.remove());

const manifestPath = () => path('img/manifest.json');
const NAME = 'a.example/b:1';

for (const kind of ['rsa2048', 'dsa2048', 'ed25519', 'nistp256'])
  it(`signatures over a manifest, both ways: ${kind}`, async () => {
    const fingerprint = gpgKey(work.gnupg, `${kind}@example.com`, kind);
    const manifest = readFileSync(manifestPath());
    const [theirs, mine] = [path(`${kind}.theirs`), path(`${kind}.ours`)];
    const signed = await run(
      skopeo as string,
      ['standalone-sign', manifestPath(), NAME, fingerprint, '-o', theirs],
      environment,
    );
    assert.equal(signed.code, 0, signed.output);
    const gpgOptions = { environment: { ...process.env, ...environment } };
    const key = { from: 'gpg', key: fingerprint, gpg: gpgOptions } as const;
    writeFileSync(mine, await signManifest(manifest, NAME, { key, creator: 'test', now: Date.now }));
    const expected = await run(
      skopeo as string,
      ['standalone-verify', manifestPath(), NAME, fingerprint, mine],
      environment,
    );
    assert.match(expected.output, /^Signature verified/);
    const ring = await readHomeKeyring(work.gnupg);
    for (const file of [theirs, mine]) {
      const input = { manifest, reference: NAME, signature: readFileSync(file) };
      assert.equal(verifyStandalone(input, ring, [fingerprint], Date.now()).fingerprint, fingerprint);
      assert.throws(
        () => verifyStandalone({ ...input, reference: 'a.example/b:2' }, ring, ['any'], Date.now()),
        {
          message: 'Docker reference "a.example/b:1" does not match "a.example/b:2"',
        },
      );
    }
  });

it('standalone-sign and standalone-verify on the command line', async () => {
  const fingerprint = gpgKey(work.gnupg, 'cli@example.com', 'ed25519');
  const [keys, signature] = [path('cli.gpg'), path('cli.sig')];
  spawnSync('gpg', ['--homedir', work.gnupg, '--output', keys, '--export', fingerprint]);
  const signed = await ours(
    'skopeo',
    ['standalone-sign', manifestPath(), NAME, fingerprint, '-o', signature],
    environment,
  );
  assert.equal(signed.code, 0, signed.output);
  const verify = [manifestPath(), NAME, fingerprint, signature];
  const expected = await run(skopeo as string, ['standalone-verify', ...verify], environment);
  const got = await ours('skopeo', ['standalone-verify', ...verify], environment);
  // Older ones leave the fingerprint out.
  assert.match(
    got.output,
    new RegExp(`^Signature verified using fingerprint ${fingerprint}, digest sha256:`),
  );
  assert.match(expected.output, /^Signature verified/);
  const any = ['standalone-verify', '--public-key-file', keys, ...verify.with(2, 'any')];
  assert.equal((await ours('skopeo', any)).code, 0);
});

function policyFile(name: string, keys: string): string {
  const identity = { type: 'exactRepository', dockerRepository: 'a.example/b' };
  const requirement = { type: 'signedBy', keyType: 'GPGKeys', keyPath: keys };
  const policy = {
    default: [{ type: 'reject' }],
    transports: {
      dir: { '': [{ ...requirement, signedIdentity: identity }] },
      docker: { '': [requirement] },
    },
  };
  writeFileSync(path(name), JSON.stringify(policy));
  return path(name);
}

it('dir: and lookaside, both ways', async () => {
  const fingerprint = gpgKey(work.gnupg, 'copy@example.com', 'ed25519');
  spawnSync('gpg', ['--homedir', work.gnupg, '--output', path('copy.gpg'), '--export', fingerprint]);
  const policy = policyFile('policy.json', path('copy.gpg'));
  mkdirSync(path('registries.d'));
  writeFileSync(path('registries.d/a.yaml'), `default-docker:\n  lookaside: file://${path('lookaside')}\n`);
  await using registry = await startTestRegistry();
  const theirs = (args: string[]) =>
    run(skopeo as string, ['--registries.d', path('registries.d'), ...args], environment);
  const mine = (args: string[]) =>
    ours('skopeo', ['--registries.d', path('registries.d'), ...args], environment);
  for (const [name, signer] of [
    ['theirs', theirs],
    ['ours', mine],
  ] as const) {
    const copied = await signer([
      '--insecure-policy',
      'copy',
      '--sign-by',
      fingerprint,
      '--sign-identity',
      'a.example/b:1',
      `dir:${path('img')}`,
      `dir:${path(name)}`,
    ]);
    // Skopeo before 1.14 has no --sign-identity; the name then comes from a docker destination alone.
    if (copied.code === 0) assert.ok(existsSync(path(name, 'signature-1')));
    const image = `docker://${registry.address}/${name}:1`;
    const pushed = await signer([
      '--insecure-policy',
      'copy',
      '--dest-tls-verify=false',
      '--sign-by',
      fingerprint,
      `dir:${path('img')}`,
      image,
    ]);
    assert.equal(pushed.code, 0, pushed.output);
    for (const [reader, read] of [
      ['theirs', theirs],
      ['ours', mine],
    ] as const) {
      if (copied.code === 0) {
        const fromDir = await read([
          '--policy',
          policy,
          'copy',
          `dir:${path(name)}`,
          `dir:${path(`${name}-${reader}-dir`)}`,
        ]);
        assert.equal(fromDir.code, 0, `${name} signed, ${reader} read: ${fromDir.output}`);
      }
      const to = path(`${name}-${reader}-web`);
      const pulled = await read(['--policy', policy, 'copy', '--src-tls-verify=false', image, `dir:${to}`]);
      assert.equal(pulled.code, 0, `${name} signed, ${reader} read: ${pulled.output}`);
      assert.ok(existsSync(join(to, 'signature-1')));
      const unsigned = await read(['--policy', policy, 'copy', `dir:${path('img')}`, `dir:${path('no')}`]);
      assert.match(
        unsigned.output,
        /Source image rejected: A signature was required, but no signature exists/,
      );
    }
  }
});

it('an expired key, a revoked key and an expired signature are refused as gpg refuses them', async () => {
  const manifest = path('img/manifest.json');
  const past = ['--faked-system-time', '20200101T000000'];
  const content = path('payload');
  writeFileSync(content, 'payload');
  const sign = (user: string, options: string[], output: string) => {
    const args = [
      '--homedir',
      work.gnupg,
      '--batch',
      '--yes',
      ...options,
      '-u',
      user,
      '-o',
      output,
      '--sign',
      content,
    ];
    const made = spawnSync('gpg', args, { encoding: 'utf8' });
    assert.equal(made.status, 0, made.stderr);
  };
  const expired = gpgKey(work.gnupg, 'expired@example.com', 'ed25519', past, 'seconds=86400');
  sign(expired, past, path('expired.sig'));
  const revoked = gpgKey(work.gnupg, 'revoked@example.com', 'ed25519');
  sign(revoked, [], path('revoked.sig'));
  const certificate = readFileSync(path(`openpgp-revocs.d/${revoked}.rev`), 'utf8').replace(
    ':-----BEGIN',
    '-----BEGIN',
  );
  writeFileSync(path('revoke.asc'), certificate);
  spawnSync('gpg', ['--homedir', work.gnupg, '--batch', '--import', path('revoke.asc')]);
  const brief = gpgKey(work.gnupg, 'brief@example.com', 'ed25519', past);
  sign(brief, [...past, '--default-sig-expire', '1d'], path('brief.sig'));
  for (const [name, fingerprint, why] of [
    ['expired', expired, /expired on/],
    ['revoked', revoked, /is revoked/],
    ['brief', brief, /Signature expired/],
  ] as const) {
    const args = ['standalone-verify', manifest, 'a.example/b:1', fingerprint, path(`${name}.sig`)];
    const theirs = await run(skopeo as string, args, environment);
    const mine = await ours('skopeo', args, environment);
    assert.deepEqual([theirs.code, mine.code], [1, 1]);
    assert.match(mine.output, why);
  }
});

it('--sign-by with a passphrase file, and with the wrong passphrase nothing is pushed', async () => {
  const made = spawnSync('gpg', [
    '--homedir',
    work.gnupg,
    '--batch',
    '--pinentry-mode',
    'loopback',
    '--passphrase',
    'secret',
    '--quick-gen-key',
    'pass@example.com',
    'ed25519',
    'sign',
    'never',
  ]);
  assert.equal(made.status, 0);
  spawnSync('gpgconf', ['--homedir', work.gnupg, '--kill', 'gpg-agent']);
  writeFileSync(path('wrong'), 'x\n');
  writeFileSync(path('right'), 'secret\nsecond line\n');
  await using registry = await startTestRegistry();
  const push = (file: string) =>
    ours(
      'skopeo',
      [
        '--insecure-policy',
        '--registries.d',
        path('registries.d'),
        'copy',
        '--dest-tls-verify=false',
        '--sign-by',
        'pass@example.com',
        '--sign-passphrase-file',
        path(file),
        `dir:${path('img')}`,
        `docker://${registry.address}/p:1`,
      ],
      environment,
    );
  const refused = await push('wrong');
  assert.equal(refused.code, 1);
  assert.match(refused.output, /bad passphrase/);
  assert.equal((await fetch(`${registry.url}/v2/p/tags/list`)).status, 404);
  const accepted = await push('right');
  assert.equal(accepted.code, 0, accepted.output);
});

it('buildah build --sign-by: the image of local storage is signed, or does not stand there at all', async () => {
  const fingerprint = gpgKey(work.gnupg, 'build@example.com', 'ed25519');
  const places = ['--root', path('root'), '--runroot', path('run'), '--storage-driver', 'vfs'];
  const buildah = (...words: string[]) => ours('buildah', [...places, ...words], environment);
  mkdirSync(path('context'));
  writeFileSync(path('context/Containerfile'), 'FROM scratch\nLABEL a=b\n');
  const refused = await buildah(
    'build',
    '--sign-by',
    'nobody@example.com',
    '-t',
    'unsigned',
    path('context'),
  );
  assert.equal(refused.code, 125);
  assert.match(refused.output, /no secret key "nobody@example.com"/);
  assert.equal((await buildah('images', '-q')).output.trim(), '');
  const built = await buildah('build', '--sign-by', fingerprint, '-t', 'signed', path('context'));
  assert.equal(built.code, 0, built.output);
  const image = `containers-storage:[vfs@${path('root')}+${path('run')}]localhost/signed:latest`;
  const copied = await ours(
    'skopeo',
    ['--insecure-policy', 'copy', image, `dir:${path('built')}`],
    environment,
  );
  assert.equal(copied.code, 0, copied.output);
  const words = ['localhost/signed:latest', fingerprint, path('built/signature-1')];
  const args = ['standalone-verify', path('built/manifest.json'), ...words];
  assert.match((await run(skopeo as string, args, environment)).output, /^Signature verified/);
});

test.run();
