import { deepEqual, equal, rejects } from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import type { RemoteOptions } from '../../../build/add/contract.ts';
import { fetchRemote } from '../../../build/add/remote.ts';
import type { BuildSurroundings } from '../../../build/container/contract.ts';
import { digestOf } from '../../../image/digest.ts';
import { startProxy } from '../../support/proxy.ts';

const test = suite('downloads');

type Answer = (response: ServerResponse, headers: IncomingHttpHeaders) => void;
let answer: Answer;
let server: Server;
let url = '';
let place = '';
let seen: IncomingHttpHeaders[] = [];
const now = new Date('2026-01-01T00:00:00Z');
let surroundings: BuildSurroundings;

test.before(async () => {
  place = mkdtempSync(join(tmpdir(), 'slipway-download-'));
  server = createServer((request, response) => {
    seen.push(request.headers);
    answer(response, request.headers);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  surroundings = {
    temporaryDirectory: place,
    environment: {},
    docker: {},
    now: () => now,
  } as unknown as BuildSurroundings;
});
test.before.each(() => {
  seen = [];
  rmSync(join(place, 'kept'), { recursive: true, force: true });
});
test.after(() => {
  server.closeAllConnections();
  server.close();
  rmSync(place, { recursive: true });
});

async function get(
  path: string,
  options: RemoteOptions = {},
): Promise<{ name: string; text: string; ms: number; mode: number }> {
  await using content = await fetchRemote(url + path, { retries: 0, ...options }, surroundings);
  const file = join(content.directory, content.name);
  const mode = statSync(file).mode & 0o7777;
  return { name: content.name, text: readFileSync(file, 'utf8'), ms: content.modifiedMs, mode };
}

const kept = (): RemoteOptions => ({ downloadDirectory: join(place, 'kept') });
const tagged =
  (text: string, etag = `"${text}"`): Answer =>
  (response, headers) => {
    response.setHeader('etag', etag);
    response.setHeader('last-modified', 'Tue, 03 Feb 2026 04:05:06 GMT');
    if (headers['if-none-match'] === etag) response.writeHead(304).end();
    else response.end(text);
  };

test('a download is readable for its owner alone, as in the originals, kept or not', async () => {
  answer = tagged('one');
  const before = process.umask(0);
  try {
    equal((await get('/file')).mode, 0o600);
    for (let round = 0; round < 2; round += 1) equal((await get('/file', kept())).mode, 0o600);
  } finally {
    process.umask(before);
  }
});

test('what has not changed is taken again, with its date', async () => {
  answer = tagged('one');
  const first = await get('/file', kept());
  deepEqual(await get('/file', kept()), first);
  equal(first.ms, Date.parse('2026-02-03T04:05:06Z'));
  deepEqual(
    seen.map((headers) => headers['if-none-match']),
    [undefined, '"one"'],
  );
  answer = tagged('two');
  equal((await get('/file', kept())).text, 'two');
  equal((await get('/file', kept())).text, 'two');
});

test('a kept file that was changed is downloaded again', async () => {
  answer = tagged('one');
  await get('/file', kept());
  const [entry = ''] = readdirSync(join(place, 'kept'));
  writeFileSync(join(place, 'kept', entry, 'content'), 'forged');
  equal((await get('/file', kept())).text, 'one');
  writeFileSync(join(place, 'kept', entry, 'entry.json'), '{');
  equal((await get('/file', kept())).text, 'one');
});

test('nothing is kept without an etag, of what must not be stored, or of what takes a credential', async () => {
  answer = (response) => void response.end('plain');
  await get('/a', kept());
  answer = (response) =>
    void response.writeHead(200, { etag: '"x"', 'cache-control': 'private, no-store' }).end('x');
  await get('/b', kept());
  answer = tagged('one');
  await get('/c', { ...kept(), authorization: () => 'Bearer x' });
  await rejects(async () => readdirSync(join(place, 'kept')), { code: 'ENOENT' });
});

test('what nobody used for a month goes; the directory is for its user alone', async () => {
  answer = tagged('one');
  await get('/old', kept());
  const [old = ''] = readdirSync(join(place, 'kept'));
  const long = new Date(now.getTime() - 40 * 24 * 3600 * 1000);
  utimesSync(join(place, 'kept', old, 'content'), long, long);
  await get('/new', kept());
  equal(readdirSync(join(place, 'kept')).includes(old), false);
  equal(statSync(join(place, 'kept')).mode & 0o777, 0o700);
});

for (const [checksum, reason] of [
  ['nonsense', 'not of the form algorithm:hex'],
  ['sha256:abc', 'needs 64 hexadecimal digits, has 3'],
  [`md5:${'0'.repeat(32)}`, 'unsupported digest algorithm'],
] as const)
  test(`the checksum ${checksum} is refused before anything is asked`, async () => {
    answer = tagged('one');
    await rejects(get('/file', { checksum, retries: 3 }), {
      code: 'bad-option',
      message: new RegExp(`^invalid checksum flag: .*${reason}`),
    });
    equal(seen.length, 0);
  });

test('an empty checksum is none', async () => {
  answer = tagged('one');
  equal((await get('/file', { checksum: '' })).text, 'one');
});

test('a checksum counts for what is taken again, too', async () => {
  answer = tagged('one');
  const checksum = digestOf(Buffer.from('one'));
  await get('/file', { ...kept(), checksum });
  await get('/file', { ...kept(), checksum });
  const other = digestOf(Buffer.from('two'));
  await rejects(get('/file', { ...kept(), checksum: other }), { code: 'bad-option' });
});

const NAMES: readonly [path: string, name: string][] = [
  ['/a/b.txt?c=/d', 'b.txt'],
  ['/', '__unnamed__'],
  ['/a/', 'a'],
  ['/a%20b', 'a b'],
  ['/..%2f..%2fetc%2fpasswd', 'passwd'],
  ['/a%00b', 'a_b'],
  ['/a%zz', 'a%zz'],
];
for (const [path, name] of NAMES)
  test(`SECURITY B08: ${path} is called ${name}`, async () => {
    answer = (response) =>
      void response.writeHead(200, { 'content-disposition': 'attachment; filename="../../x"' }).end('x');
    equal((await get(path)).name, name);
  });

test('SECURITY B08: a name that is too long is refused', async () => {
  await rejects(get(`/${'x'.repeat(300)}`), { code: 'bad-argument' });
});

test('SECURITY I7: a credential stays with its origin', async () => {
  const stranger = createServer((request, response) => {
    seen.push(request.headers);
    response.end('moved');
  });
  await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve));
  const target = `http://127.0.0.1:${(stranger.address() as AddressInfo).port}/x`;
  answer = (response) => void response.writeHead(302, { location: target }).end();
  try {
    equal((await get('/file', { authorization: () => 'Bearer SECRET' })).text, 'moved');
    deepEqual(
      seen.map(({ authorization }) => authorization),
      ['Bearer SECRET', undefined],
    );
  } finally {
    stranger.closeAllConnections();
    stranger.close();
  }
});

test('HTTP_PROXY is used and takes its credentials; 407 names it', async () => {
  answer = (response) => response.end('through');
  await using proxy = await startProxy(Number(new URL(url).port), 'user:p@ss');
  const ask = async (userinfo: string, scheme = 'http') => {
    const address = proxy.url.replace('//', `//${userinfo}`);
    const environment = { HTTP_PROXY: address, HTTPS_PROXY: address };
    const given = { ...surroundings, environment };
    await using content = await fetchRemote(`${scheme}://files.invalid/a`, { retries: 0 }, given);
    return readFileSync(join(content.directory, content.name), 'utf8');
  };
  equal(await ask('user:p%40ss@'), 'through');
  for (const scheme of ['http', 'https'])
    await rejects(ask('user:wrong@', scheme), {
      message: `reading "${scheme}://files.invalid/a": the proxy ${proxy.url} answers 407 Proxy Authentication Required`,
    });
  equal(seen.length, 1);
});

test('redirects end, and lead to http alone', async () => {
  answer = (response) => void response.writeHead(302, { location: '/again' }).end();
  await rejects(get('/file'), /too many redirects/);
  for (const location of ['file:///etc/passwd', 'data:,x', 'http://[']) {
    answer = (response) => void response.writeHead(302, { location }).end();
    await rejects(get('/file'), { code: 'missing-file' });
  }
});

test('a server that cuts a body off, or says that nothing changed when it was not asked, is an error', async () => {
  answer = (response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('half');
    response.destroy();
  };
  await rejects(get('/file'), { code: 'missing-file' });
  answer = (response) => void response.writeHead(304).end();
  await rejects(get('/file'), /304/);
});

test.run();
