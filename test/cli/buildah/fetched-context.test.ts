// Errors name a context that was fetched as the user did, and no temporary file.
import { doesNotMatch, equal, match } from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite } from 'uvu';
import { openBuildah } from '../../support/buildah-command.ts';
import { tarOf } from '../../support/tar.ts';

const test = suite('errors of fetched contexts');
const { directory, run, feed, remove } = openBuildah('fetched-context');
const server = createServer((_request, response) => void response.end('FROM scratch\nBOGUS\n'));
test.before(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
test.after(async () => {
  server.close();
  await remove();
});

const archive = (text: string) => tarOf([{ name: 'Dockerfile', body: text }]);
const CASES: readonly (readonly [string, Uint8Array | string, readonly string[], RegExp])[] = [
  ['a Containerfile', 'FROM scratch\nBOGUS\n', [], /^Error: standard input:2: unknown instruction: BOGUS/],
  ['nothing', '', [], /^Error: no contents in "standard input"$/],
  [
    'its context',
    'FROM scratch\nCOPY a /\n',
    [],
    /under "standard input": "\/a": no such file or directory \(standard input:2\)$/,
  ],
  ['a pattern', 'FROM scratch\nCOPY a* /\n', [], /under "standard input": globs \[a\*\] matched nothing/],
  ['an archive', archive('FROM scratch\nBOGUS\n'), [], /^Error: Dockerfile:2: unknown instruction: BOGUS/],
  ['its files', archive('FROM scratch\nCOPY a /\n'), [], /under "standard input": "\/a": no such file/],
  [
    'a name in it',
    archive(''),
    ['-f', 'none'],
    /^Error: stat standard input\/none: no such file or directory$/,
  ],
  ['no Dockerfile', tarOf([{ name: 'a', body: 'a' }]), [], /stat standard input\/Dockerfile: no such file/],
  [
    'half an archive',
    archive('x'.repeat(2000)).subarray(0, 700),
    [],
    /^Error: storing "\/Dockerfile": the archive ends in the middle of an entry$/,
  ],
];
for (const [what, input, flags, expected] of CASES)
  test(`${what} on standard input`, async () => {
    const { code, err } = await feed(input, 'build', '-q', ...flags, '-');
    equal(code, 125);
    match(err, expected);
    doesNotMatch(err, new RegExp(directory));
  });

test('a Containerfile behind a URL', async () => {
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/file`;
  match((await run('build', '-q', url)).err, new RegExp(`^Error: ${url}:2: unknown instruction: BOGUS`));
});

test.run();
