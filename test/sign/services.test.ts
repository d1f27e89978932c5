import assert from 'node:assert/strict';
import { createHash, createPublicKey, generateKeyPairSync, verify, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import { digestOf } from '../../image/digest.ts';
import type { JsonObject } from '../../image/json.ts';
import { parseReference } from '../../image/reference.ts';
import { ANNOTATION } from '../../sign/sigstore/annotations.ts';
import { verifyBundle } from '../../sign/sigstore/bundle.ts';
import { requestIdToken } from '../../sign/sigstore/device-grant.ts';
import { requestCertificate } from '../../sign/sigstore/fulcio-client.ts';
import { parseSigningParameters } from '../../sign/sigstore/parameters.ts';
import { generateSigstoreKey } from '../../sign/sigstore/private-key.ts';
import { parseSigstoreKey } from '../../sign/sigstore/public-key.ts';
import { logEnvelope, uploadToRekor } from '../../sign/sigstore/rekor-client.ts';
import { verifyEntryTimestamp } from '../../sign/sigstore/rekor-entry.ts';
import { createSigstoreSigner } from '../../sign/sigstore/signer.ts';
import {
  identityFromKeyFile,
  readPassphraseFile,
  signerFromParameters,
} from '../../sign/sigstore/signer-from-parameters.ts';
import { makeCertificate, TestLog } from '../support/x509.ts';

type Handler = (request: IncomingMessage, body: string, response: ServerResponse) => void;

async function serve(handler: Handler) {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    handler(request, Buffer.concat(chunks).toString(), response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  return { url, [Symbol.asyncDispose]: async () => void server.close() };
}

const access = { fetch: globalThis.fetch, userAgent: 'test' };
const LOG = new TestLog();
const NOW = Date.UTC(2026, 5, 1);
const LOGGED = {
  keyOrCertificate: LOG.publicKey,
  signature: Buffer.from('signature'),
  payload: Buffer.from('payload'),
};

/** A Rekor that knows one entry. */
function rekorAnswer(body: string): JsonObject {
  const bytes = Buffer.from(body).toString('base64');
  const payload = { body: bytes, integratedTime: NOW / 1000, logID: 'ab', logIndex: 3 };
  const signedEntryTimestamp = LOG.sign(
    `{"body":"${bytes}","integratedTime":${NOW / 1000},"logID":"ab","logIndex":3}`,
  );
  return { '24296fb24b8ad77a': { ...payload, verification: { signedEntryTimestamp } } };
}

test('Rekor: an uploaded entry verifies offline', async () => {
  await using rekor = await serve((request, body, response) => {
    assert.equal(`${request.method} ${request.url}`, 'POST /base/api/v1/log/entries');
    response.writeHead(201).end(JSON.stringify(rekorAnswer(body)));
  });
  const entry = await uploadToRekor(new URL('base/', rekor.url), LOGGED, access);
  assert.equal(verifyEntryTimestamp([{ key: parseSigstoreKey(LOG.publicKey) }], entry, LOGGED), NOW);
});

test('Rekor: an entry that is there already is fetched', async () => {
  let stored = '';
  await using rekor = await serve((request, body, response) => {
    if (request.method === 'POST') {
      stored = body;
      response.writeHead(409, { location: '/api/v1/log/entries/24296fb24b8ad77a24296fb24b8ad77a' }).end();
    } else response.end(JSON.stringify(rekorAnswer(stored)));
  });
  const entry = await uploadToRekor(rekor.url, LOGGED, access);
  assert.equal(verifyEntryTimestamp([{ key: parseSigstoreKey(LOG.publicKey) }], entry, LOGGED), NOW);
});

for (const [name, handler, why] of [
  ['an error', (response: ServerResponse) => response.writeHead(500).end('{}'), /status 500/],
  [
    'no JSON',
    (response: ServerResponse) => response.writeHead(201).end('<html>'),
    /something else than JSON/,
  ],
  [
    'two entries',
    (response: ServerResponse) => response.writeHead(201).end('{"a":{},"b":{}}'),
    /expected 1 Rekor entry/,
  ],
  ['an empty entry', (response: ServerResponse) => response.writeHead(201).end('{"a":{}}'), /missing data/],
  [
    'a redirect',
    (response: ServerResponse) => response.writeHead(302, { location: 'http://x.example/' }).end(),
    /cannot be reached/,
  ],
  [
    'an endless answer',
    (response: ServerResponse) => response.writeHead(201).end(Buffer.alloc(5e6, 0x20)),
    /exceeds/,
  ],
  ['a dropped connection', (response: ServerResponse) => response.destroy(), /cannot be reached/],
] as const)
  test(`Rekor refused: ${name}`, async () => {
    await using rekor = await serve((_request, _body, response) => void handler(response));
    await assert.rejects(uploadToRekor(rekor.url, LOGGED, access), { code: 'signing', message: why });
  });

test('an abort passes unwrapped', async () => {
  await using rekor = await serve(() => {});
  const signal = AbortSignal.timeout(50);
  await assert.rejects(uploadToRekor(rekor.url, LOGGED, { ...access, signal }), { name: 'TimeoutError' });
});

const token = (claims: object) => `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.sig`;

test('Fulcio: proof of possession, certificate and chain', async () => {
  const root = makeCertificate(NOW, { name: 'root', authority: true });
  const idToken = token({ sub: 'x', email: 'dev@example.com', email_verified: true });
  await using fulcio = await serve((request, body, response) => {
    assert.equal(request.headers.authorization, `Bearer ${idToken}`);
    const json = JSON.parse(body);
    const publicKey = createPublicKey({
      key: Buffer.from(json.publicKey.content, 'base64'),
      format: 'der',
      type: 'spki',
    });
    const proof = Buffer.from(json.signedEmailAddress, 'base64');
    assert.ok(verify('sha256', Buffer.from('dev@example.com'), publicKey, proof));
    const keys = { publicKey, privateKey: root.secret };
    const leaf = makeCertificate(NOW, { name: 'leaf', issuer: root, keys });
    response.writeHead(201).end(leaf.pem + root.pem);
  });
  const identity = await requestCertificate(fulcio.url, idToken, access);
  const leaf = new X509Certificate(identity.certificate as string);
  assert.ok(leaf.checkPrivateKey(identity.privateKey));
  assert.equal(identity.chain, root.pem);
});

for (const bad of ['x', 'a.b.c', token({}), token({ email: 'a@b', email_verified: false })])
  test(`Fulcio: a token that names nobody: ${bad.slice(0, 12)}`, async () => {
    await assert.rejects(requestCertificate(new URL('http://127.0.0.1:1/'), bad, access), {
      code: 'bad-parameters',
    });
  });

test('Fulcio: a refusal', async () => {
  await using fulcio = await serve((_request, _body, response) => void response.writeHead(401).end());
  await assert.rejects(requestCertificate(fulcio.url, token({ sub: 'x' }), access), /status 401/);
});

test('device grant: instructions, waiting, token', async () => {
  let polls = 0;
  const seen: string[] = [];
  await using issuer = await serve((request, _body, response) => {
    const here = `http://${request.headers.host}`;
    const json = (value: object, status = 200) => response.writeHead(status).end(JSON.stringify(value));
    if (request.url?.endsWith('openid-configuration'))
      json({ device_authorization_endpoint: `${here}/device`, token_endpoint: `${here}/token` });
    else if (request.url === '/device')
      json({
        device_code: 'd',
        user_code: 'ABCD',
        verification_uri: 'https://v.example',
        interval: 0.01,
        expires_in: 5,
      });
    else {
      polls += 1;
      if (polls < 3) json({ error: 'authorization_pending' }, 400);
      else json({ id_token: 'TOKEN' });
    }
  });
  const options = {
    issuerUrl: issuer.url,
    clientId: 'c',
    clientSecret: '',
    onInstructions: (text: string) => void seen.push(text),
  };
  assert.equal(await requestIdToken(options, access), 'TOKEN');
  assert.match(seen.join(), /ABCD.*https:\/\/v.example/);
});

test('a parameter file with key and Rekor gives a logged signature', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'slipway-parameters-'));
  try {
    await using rekor = await serve((_request, body, response) => {
      response.writeHead(201).end(JSON.stringify(rekorAnswer(body)));
    });
    const { privateKey, publicKey } = await generateSigstoreKey(Buffer.from('first line'));
    writeFileSync(join(directory, 'k'), privateKey);
    writeFileSync(join(directory, 'p'), 'first line\nsecond line\n');
    const text = `privateKeyFile: ${directory}/k\nprivateKeyPassphraseFile: ${directory}/p\nrekorURL: ${rekor.url}\n`;
    const signer = signerFromParameters(await parseSigningParameters(text, 'p.yaml'), {
      access,
      askPassphrase: () => Promise.reject(new Error('asked')),
      onInstructions: () => {},
      creator: 'test',
      now: () => NOW,
    });
    await signer.prepare();
    const signature = await signer.sign(Buffer.from('{}'), parseReference('a.example/b:1'));
    const time = verifyEntryTimestamp(
      [{ key: parseSigstoreKey(LOG.publicKey) }],
      signature.annotations[ANNOTATION.bundle] as string,
      {
        keyOrCertificate: publicKey,
        signature: Buffer.from(signature.annotations[ANNOTATION.signature] as string, 'base64'),
        payload: signature.payload,
      },
    );
    assert.equal(time, NOW);
    await assert.rejects(
      signer.sign(Buffer.from('{}'), parseReference('a.example/b')),
      /neither a tag nor a digest/,
    );
    await assert.rejects(identityFromKeyFile(join(directory, 'none'), ''), { code: 'bad-key' });
    await assert.rejects(readPassphraseFile(join(directory, 'none')), { code: 'bad-passphrase' });
    assert.equal(await readPassphraseFile(join(directory, 'p')), 'first line');
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test('Rekor: a bundle is logged, with its inclusion proof, and verifies', async () => {
  let proposed: JsonObject = {};
  await using rekor = await serve((_request, body, response) => {
    proposed = JSON.parse(body);
    const { envelope, verifiers } = JSON.parse(body).spec.proposedContent;
    const { payload, signatures } = JSON.parse(envelope);
    const hash = createHash('sha256').update(Buffer.from(payload, 'base64')).digest('hex');
    const entry = JSON.stringify({
      apiVersion: '0.0.1',
      kind: 'dsse',
      spec: {
        payloadHash: { algorithm: 'sha256', value: hash },
        signatures: [{ signature: signatures[0].sig, verifier: verifiers[0] }],
      },
    });
    const [[uuid, answer]] = Object.entries(rekorAnswer(entry)) as [[string, JsonObject]];
    response.writeHead(201).end(JSON.stringify({ [uuid]: withProof(answer, entry) }));
  });
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signer = createSigstoreSigner({
    identity: async () => ({ privateKey }),
    logEnvelope: (envelope, key) => logEnvelope(rekor.url, envelope, key, access),
    creator: 'test',
    now: () => NOW,
  });
  const manifest = Buffer.from('{}');
  const bundle = await signer.bundle(manifest);
  assert.equal(proposed.kind, 'dsse');
  const logKeys = [{ key: parseSigstoreKey(LOG.publicKey) }];
  const trust = { keys: [publicKey], logKeys };
  assert.equal(verifyBundle(bundle, digestOf(manifest), trust).seenAtMs, NOW);
  const { inclusionProof } = JSON.parse(Buffer.from(bundle).toString()).verificationMaterial.tlogEntries[0];
  assert.equal(inclusionProof.treeSize, '1');
});

/** The entry as the only one of its tree. */
function withProof(answer: JsonObject, entry: string): JsonObject {
  const root = createHash('sha256')
    .update(Buffer.concat([Buffer.from([0]), Buffer.from(entry)]))
    .digest();
  const note = `log.example\n1\n${root.toString('base64')}\n`;
  const line = Buffer.concat([Buffer.alloc(4), Buffer.from(LOG.sign(note), 'base64')]).toString('base64');
  const inclusionProof = {
    logIndex: 0,
    rootHash: root.toString('hex'),
    treeSize: 1,
    hashes: [],
    checkpoint: `${note}\n\u2014 log.example ${line}\n`,
  };
  return { ...answer, verification: { ...(answer.verification as JsonObject), inclusionProof } };
}

test('signing succeeds but logging fails: no signature comes out', async () => {
  await using rekor = await serve((_request, _body, response) => void response.writeHead(503).end());
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signer = createSigstoreSigner({
    identity: async () => ({ privateKey }),
    log: (logged) => uploadToRekor(rekor.url, logged, access),
    logEnvelope: (envelope, key) => logEnvelope(rekor.url, envelope, key, access),
    creator: 'test',
    now: () => NOW,
  });
  await assert.rejects(signer.sign(Buffer.from('{}'), parseReference('a.example/b:1')), /status 503/);
  await assert.rejects(signer.bundle(Buffer.from('{}')), /status 503/);
});

test.run();
