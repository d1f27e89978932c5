import assert from 'node:assert/strict';
import { test } from 'uvu';
import { parseChallenges } from '../../../transport/docker/challenge.ts';
import { checkHop, isPrivateHost } from '../../../transport/docker/origin.ts';
import { proxyFor } from '../../../transport/docker/proxy.ts';
import { parseRetryAfter } from '../../../transport/docker/retry.ts';
import { parseWarning } from '../../../transport/docker/warning.ts';

for (const [header, expected] of [
  ['Basic realm="x"', [['basic', { realm: 'x' }]]],
  [
    'Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push"',
    [['bearer', { realm: 'https://a/t', service: 's', scope: 'repository:a/b:pull,push' }]],
  ],
  ['BEARER Realm = "a\\"b" , x=y', [['bearer', { realm: 'a"b', x: 'y' }]]],
  [
    'Basic realm="b", Bearer realm="c",service=d',
    [
      ['basic', { realm: 'b' }],
      ['bearer', { realm: 'c', service: 'd' }],
    ],
  ],
  ['Negotiate', [['negotiate', {}]]],
  ['', []],
  ['Bearer realm="open', [['bearer', {}]]],
  ['=x', []],
] as const)
  test(`challenge ${header}`, () => {
    const found = parseChallenges([header]).map(({ scheme, parameters }) => [
      scheme,
      Object.fromEntries(parameters),
    ]);
    assert.deepEqual(found, expected);
  });

test('hostile challenges take linear time', () => {
  const started = performance.now();
  for (const piece of ['a="\\', ',', 'a=', ' ', 'Basic ', '"'])
    parseChallenges([piece.repeat(200_000 / piece.length)]);
  assert.ok(performance.now() - started < 10_000);
});

for (const [header, expected] of [
  ['299 - "simple"', '"simple"'],
  ['299 - "with \\"quotes\\""', '"with \\"quotes\\""'],
  ['299 - "esc \u001b[31m"', undefined],
  ['299 - "bidi \u202e x"', '"bidi \\\\u202e x"'],
  ['199 - "other code"', undefined],
  ['299 agent "x"', undefined],
  ['299 - "two" "Mon, 01 Jan 2024 00:00:00 GMT"', undefined],
  [`299 - "${'x'.repeat(5000)}"`, undefined],
] as const)
  test(`R13 warning ${JSON.stringify(header.slice(0, 40))}`, () => {
    assert.equal(parseWarning(header), expected);
  });

const NOW = Date.parse('2024-01-01T00:00:00Z');
for (const [header, expected] of [
  ['5', 5000],
  ['0', 0],
  ['-1', undefined],
  ['1e9', undefined],
  ['99999999999999', undefined],
  ['Mon, 01 Jan 2024 00:00:10 GMT', 10_000],
  ['Sun, 31 Dec 2023 00:00:00 GMT', undefined],
  ['soon', undefined],
  [undefined, undefined],
] as const)
  test(`Retry-After ${header}`, () => {
    assert.equal(parseRetryAfter(header, NOW), expected);
  });

for (const [host, expected] of [
  ['127.0.0.1', true],
  ['10.1.2.3', true],
  ['172.31.0.1', true],
  ['172.32.0.1', false],
  ['192.168.1.1', true],
  ['169.254.169.254', true],
  ['100.64.0.1', true],
  ['0.0.0.0', true],
  ['8.8.8.8', false],
  ['localhost', true],
  ['x.localhost', true],
  ['[::1]', true],
  ['[fd00::1]', true],
  ['[fe80::1%25eth0]', true],
  ['[::ffff:127.0.0.1]', true],
  ['[::ffff:7f00:1]', true],
  ['[2001:4860::1]', false],
  ['registry.example.com', false],
] as const)
  test(`D2 ${host} is ${expected ? 'private' : 'public'}`, () => {
    assert.equal(isPrivateHost(host), expected);
  });

for (const [from, to, allowed] of [
  ['https://r.example', 'https://cdn.example/x', true],
  ['https://r.example', 'http://r.example/x', false],
  ['http://r.example', 'https://r.example/x', true],
  ['https://r.example', 'file:///etc/passwd', false],
  ['https://r.example', 'data:text/plain,x', false],
  ['https://r.example', 'https://169.254.169.254/latest', false],
  ['https://r.example', 'https://[::1]/x', false],
  ['http://10.0.0.1:5000', 'http://10.0.0.1:5000/x', true],
  ['http://10.0.0.1:5000', 'http://127.0.0.1/x', true],
] as const)
  test(`R03 R12 hop ${from} -> ${to}`, () => {
    const hop = () => checkHop(new URL(from), new URL(to), 'x');
    if (allowed) hop();
    else assert.throws(hop, { code: 'insecure-redirect' });
  });

const PROXY = { HTTPS_PROXY: 'http://proxy:3128', http_proxy: 'proxy2:8080' };
for (const [url, environment, expected] of [
  ['https://example.com', PROXY, 'proxy:3128'],
  ['http://example.com', PROXY, 'proxy2:8080'],
  ['https://localhost:5000', PROXY, undefined],
  ['https://127.0.0.1', PROXY, undefined],
  ['https://10.0.0.1', { ...PROXY, NO_PROXY: '10.0.0.0/8' }, undefined],
  ['https://a.example.com', { ...PROXY, NO_PROXY: 'example.com' }, undefined],
  ['https://notexample.com', { ...PROXY, NO_PROXY: 'example.com' }, 'proxy:3128'],
  ['https://example.com', { ...PROXY, NO_PROXY: '.example.com' }, 'proxy:3128'],
  ['https://a.example.com', { ...PROXY, no_proxy: 'x, *.example.com' }, undefined],
  ['https://example.com:8443', { ...PROXY, NO_PROXY: 'example.com:443' }, 'proxy:3128'],
  ['https://example.com', { ...PROXY, NO_PROXY: '*' }, undefined],
  ['http://example.com', { HTTP_PROXY: 'http://evil', REQUEST_METHOD: 'GET' }, undefined],
] as const)
  test(`proxy for ${url} with ${JSON.stringify(environment)}`, () => {
    assert.equal(proxyFor(new URL(url), environment)?.host, expected);
  });

test('a proxy of another kind is an error without its password', () => {
  assert.throws(() => proxyFor(new URL('https://x.example'), { HTTPS_PROXY: 'socks5://u:secret@p:1' }), {
    code: 'bad-option',
    message: /^(?!.*secret)/,
  });
});

test.run();
