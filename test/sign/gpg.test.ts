import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { gpgSecretKey, gpgSign, hasGpg } from '../../sign/simple/gpg.ts';

const test = suite<{ directory: string }>('gpg');
test.before.each((context) => {
  context.directory = mkdtempSync(join(tmpdir(), 'slipway-gpg-'));
});
test.after.each(({ directory }) => rmSync(directory, { recursive: true, force: true }));

/** A stand-in for gpg: a shell script. */
function fake(directory: string, script: string) {
  const program = join(directory, 'gpg');
  writeFileSync(program, `#!/bin/sh\n${script}\n`);
  chmodSync(program, 0o755);
  return { program, home: directory, environment: { PATH: process.env.PATH } };
}

const sign = (directory: string, script: string, passphrase?: string) =>
  gpgSign(Buffer.from('content'), {
    ...fake(directory, script),
    key: 'KEY',
    ...(passphrase && { passphrase }),
  });

test('S05: only the status channel counts, not what stands in the output', async ({ directory }) => {
  const good = 'cat >/dev/null; echo "[GNUPG:] SIG_CREATED S 22 8 00 1 F" >&3; printf signature';
  assert.equal(Buffer.from(await sign(directory, good)).toString(), 'signature');
  for (const bad of [
    'cat >/dev/null; echo "[GNUPG:] SIG_CREATED S" >&2; printf signature',
    'cat >/dev/null; echo "[GNUPG:] SIG_CREATED S"; printf signature',
    'cat >/dev/null; echo "SIG_CREATED S" >&3; printf signature',
    'cat >/dev/null; printf signature',
    'cat >/dev/null; echo "[GNUPG:] SIG_CREATED S" >&3; printf signature; exit 2',
  ])
    await assert.rejects(sign(directory, bad), { code: 'signing' });
});

test('S05: output of gpg reaches messages without control characters', async ({ directory }) => {
  await assert.rejects(sign(directory, 'printf "bad \\033[31m thing\\n" >&2; exit 2'), {
    message: 'gpg could not sign with key "KEY": bad \\u001b[31m thing',
  });
});

test('the passphrase is neither an argument nor in the environment', async ({ directory }) => {
  const script = `cat >/dev/null; { echo "$@"; env; } > "${directory}/seen"; cat <&4 > "${directory}/secret"; echo "[GNUPG:] SIG_CREATED S" >&3`;
  await sign(directory, script, 'top secret');
  const seen = readFileSync(join(directory, 'seen'), 'utf8');
  assert.doesNotMatch(seen, /top secret/);
  assert.match(seen, /--pinentry-mode loopback --passphrase-fd 4/);
  assert.match(seen, /LC_ALL=C/);
  assert.equal(readFileSync(join(directory, 'secret'), 'utf8'), 'top secret\n');
});

for (const [status, code] of [
  ['INV_SGNR 9 KEY', 'no-such-key'],
  ['NO_SECKEY 00', 'no-such-key'],
  ['BAD_PASSPHRASE 00', 'bad-passphrase'],
  ['MISSING_PASSPHRASE', 'bad-passphrase'],
  ['FAILURE sign 1', 'signing'],
] as const)
  test(`status ${status} becomes ${code}`, async ({ directory }) => {
    await assert.rejects(sign(directory, `cat >/dev/null; echo "[GNUPG:] ${status}" >&3; exit 2`), { code });
  });

test('a key that looks like an option stays an argument', async ({ directory }) => {
  const options = fake(directory, `echo "$@" > "${directory}/seen"; exit 2`);
  await assert.rejects(gpgSecretKey('--help', options), { code: 'no-such-key' });
  assert.match(readFileSync(join(directory, 'seen'), 'utf8'), /--list-secret-keys -- --help$/m);
});

test('gpg that is not installed', async ({ directory }) => {
  const options = { program: join(directory, 'none'), environment: {} };
  await assert.rejects(gpgSign(Buffer.from('x'), { ...options, key: 'K' }), {
    code: 'signing',
    message: /not installed/,
  });
  assert.equal(await hasGpg(options), false);
});

test('a hanging gpg ends with the signal', async ({ directory }) => {
  const signal = AbortSignal.timeout(100);
  const options = { ...fake(directory, 'exec sleep 30'), key: 'K', signal };
  await assert.rejects(gpgSign(Buffer.from('x'), options), { name: 'AbortError' });
});

test.run();
