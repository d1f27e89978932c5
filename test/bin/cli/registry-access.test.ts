import { deepEqual, equal, throws } from 'node:assert/strict';
import { suite } from 'uvu';
import { parseFlags } from '../../../bin/cli/flags.ts';
import { type AccessPrefix, registryAccess, registryFlags } from '../../../bin/cli/registry-access.ts';

const io = {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  environment: {},
  workingDirectory: '/',
};
const access = (prefix: AccessPrefix, ...words: string[]) =>
  registryAccess(
    parseFlags(words, [
      { name: 'authfile', kind: 'string' as const, usage: '' },
      ...registryFlags(prefix).filter((flag) => flag.name !== 'authfile'),
    ]).flags,
    prefix,
    io,
    'test',
  );

const test = suite('registry access flags');
for (const [words, expected] of [
  [['--creds', 'me:a:b'], { username: 'me', password: 'a:b' }],
  [['--creds=me'], { username: 'me', password: '' }],
  [['--username', 'me', '--password', 'x'], { username: 'me', password: 'x' }],
  [['--no-creds'], 'none'],
  [[], undefined],
] as const) {
  test(`credentials: ${words.join(' ')}`, () => deepEqual(access('', ...words).credentials, expected));
}
for (const words of [
  ['--creds', ''],
  ['--creds', ':x'],
  ['--creds', 'a', '--no-creds'],
  ['--creds', 'a', '--username', 'b'],
  ['--password', 'x'],
  ['--username', 'x'],
  ['--username', '', '--password', 'x'],
]) {
  test(`refused: ${words.join(' ')}`, () => throws(() => access('', ...words), { code: 'usage' }));
}
test('sides: own flags win, --authfile is for both, tls-verify is unknown when not given', () => {
  equal(access('src-', '--authfile', '/a').authFile, '/a');
  equal(access('src-', '--authfile', '/a', '--src-authfile', '/b').authFile, '/b');
  equal(access('dest-', '--dest-tls-verify=false').tlsVerify, false);
  equal('tlsVerify' in access('dest-'), false);
});
test.run();
