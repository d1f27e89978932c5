import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { parseTrustedCertificates } from '../../../sign/sigstore/certificate.ts';
import { verifyTimestamp } from '../../../sign/sigstore/timestamp.ts';
import { findPeer } from './peers.ts';

const openssl = findPeer('openssl', 'SLIPWAY_PEER_OPENSSL', ['version']);
const test = suite<{ directory: string }>('timestamps with openssl');
if (!openssl) console.log('SKIP timestamps with openssl: openssl not installed');

test.before((context) => {
  context.directory = mkdtempSync(join(tmpdir(), 'sl-tsa-'));
});
test.after(({ directory }) => rmSync(directory, { recursive: true, force: true }));

const CONFIG = `
[req]
distinguished_name = dn
[dn]
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
[leaf]
extendedKeyUsage = critical,timeStamping
[tsa]
default_tsa = tsa1
[tsa1]
serial = ./serial
signer_cert = ./tsa.pem
signer_key = ./tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
ess_cert_id_chain = no
accuracy = secs:1
ordering = yes
tsa_name = yes
`;

for (const [kind, ess, embedded] of [
  ['ec', 'sha256', true],
  ['ec', 'sha1', false],
  ['rsa', 'sha512', true],
] as const)
  (openssl ? test : test.skip)(
    `openssl ts: ${kind}, ESS ${ess}, certificate ${embedded}`,
    ({ directory }) => {
      const run = (...args: string[]) => {
        const done = spawnSync(openssl as string, args, { cwd: directory, encoding: 'utf8' });
        assert.equal(done.status, 0, done.stderr);
      };
      const read = (name: string) => readFileSync(join(directory, name));
      writeFileSync(join(directory, 'c.cnf'), `${CONFIG}ess_cert_id_alg = ${ess}\n`);
      const key = kind === 'ec' ? ['ec', '-pkeyopt', 'ec_paramgen_curve:P-384'] : ['rsa:2048'];
      const request = (...args: string[]) =>
        run('req', '-config', 'c.cnf', '-nodes', '-newkey', ...key, ...args);
      request('-x509', '-subj', '/CN=root', '-extensions', 'ca', '-keyout', 'ca.key', '-out', 'ca.pem');
      request('-subj', '/CN=tsa', '-keyout', 'tsa.key', '-out', 'tsa.csr');
      const ca = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'];
      run(
        'x509',
        '-req',
        '-in',
        'tsa.csr',
        ...ca,
        '-extfile',
        'c.cnf',
        '-extensions',
        'leaf',
        '-out',
        'tsa.pem',
      );
      writeFileSync(join(directory, 'data'), 'signature');
      writeFileSync(join(directory, 'serial'), '01');
      run('ts', '-query', '-data', 'data', '-sha384', ...(embedded ? ['-cert'] : []), '-out', 'query');
      run('ts', '-reply', '-config', 'c.cnf', '-queryfile', 'query', '-out', 'reply');
      const authority = {
        roots: parseTrustedCertificates(read('ca.pem')),
        others: embedded ? [] : parseTrustedCertificates(read('tsa.pem')),
      };
      const atMs = verifyTimestamp(read('reply'), Buffer.from('signature'), [authority]);
      assert.ok(Math.abs(atMs - Date.now()) < 60_000);
      assert.throws(() => verifyTimestamp(read('reply'), Buffer.from('other'), [authority]), {
        code: 'invalid-signature',
      });
    },
  );

test.run();
