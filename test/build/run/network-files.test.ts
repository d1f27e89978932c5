import assert from 'node:assert/strict';
import { suite } from 'uvu';
import {
  type HostsFileParts,
  hostsFile,
  type ResolverParts,
  realResolverPath,
  resolverFile,
} from '../../../build/run/network-files.ts';

const test = suite('generated network files');

const HOSTS: readonly (readonly [string, Partial<HostsFileParts>, string])[] = [
  ['nothing given', {}, '127.0.0.1\tlocalhost\n::1\tlocalhost\n'],
  [
    'localhost of the base file stays alone',
    { base: '127.0.1.1 localhost # x\n\n#y' },
    '127.0.1.1\tlocalhost\n',
  ],
  [
    'extra entries first, own names last',
    {
      extra: [{ address: '1.2.3.4', names: ['a', 'b'] }],
      own: [{ address: '5.6.7.8', names: ['box', 'a'] }],
    },
    '1.2.3.4\ta b\n127.0.0.1\tlocalhost\n::1\tlocalhost\n5.6.7.8\tbox\n',
  ],
  [
    'host-gateway is the host as the container sees it',
    { extra: [{ address: 'host-gateway', names: ['gw'] }], hostGateway: '9.9.9.9' },
    '9.9.9.9\tgw\n127.0.0.1\tlocalhost\n::1\tlocalhost\n9.9.9.9\thost.containers.internal host.docker.internal\n',
  ],
];
for (const [name, parts, expected] of HOSTS)
  test(`hosts: ${name}`, () => assert.equal(hostsFile({ extra: [], base: '', own: [], ...parts }), expected));

test('hosts: host-gateway without an address is an error', () => {
  const extra = [{ address: 'host-gateway', names: ['gw'] }];
  assert.throws(() => hostsFile({ extra, base: '', own: [] }), { code: 'bad-option' });
});

test('hosts: a container on several networks has a line for each address', () => {
  const own = ['10.1.0.2', 'fd00::2'].map((address) => ({ address, names: ['box'] }));
  assert.match(hostsFile({ extra: [], base: '', own }), /\n10\.1\.0\.2\tbox\nfd00::2\tbox\n$/);
});

test('resolv.conf: the resolvers behind a stub on the loopback', () => {
  for (const [text, path] of [
    ['nameserver 127.0.0.53\n', '/run/systemd/resolve/resolv.conf'],
    ['nameserver 127.0.0.1\n', '/run/NetworkManager/no-stub-resolv.conf'],
    ['nameserver 127.0.0.53\nnameserver 192.0.2.1\n', undefined],
    ['nameserver 192.0.2.1\n', undefined],
    ['', undefined],
  ] as const)
    assert.equal(realResolverPath(text), path, text);
});

const host = 'search home.test\nnameserver 127.0.0.53\nnameserver 192.0.2.1 # x\noptions edns0\n';
const RESOLVERS: readonly (readonly [string, Partial<ResolverParts>, string])[] = [
  [
    "the host's network: the host's file",
    {},
    'search home.test\nnameserver 127.0.0.53\nnameserver 192.0.2.1\noptions edns0\n',
  ],
  [
    'an own network: no loopback resolvers',
    { ownNetwork: true },
    'search home.test\nnameserver 192.0.2.1\noptions edns0\n',
  ],
  [
    'nothing reachable: public resolvers',
    { ownNetwork: true, base: 'nameserver ::1' },
    'nameserver 8.8.8.8\nnameserver 8.8.4.4\n',
  ],
  ['given servers alone', { servers: ['1.1.1.1'], search: ['.'] }, 'nameserver 1.1.1.1\noptions edns0\n'],
  [
    "the network's resolver before the host's",
    { ownNetwork: true, networkServers: ['10.0.2.3'], keepHostServers: true, options: ['ndots:1'] },
    'search home.test\nnameserver 10.0.2.3\nnameserver 192.0.2.1\noptions ndots:1\n',
  ],
  [
    "a bridge's resolver alone",
    { ownNetwork: true, networkServers: ['10.89.0.1'], withoutIpv6: true },
    'search home.test\nnameserver 10.89.0.1\noptions edns0\n',
  ],
  [
    'a bridge without resolvers and without IPv6',
    {
      ownNetwork: true,
      networkServers: [],
      withoutIpv6: true,
      base: 'nameserver fd00::1\nnameserver 1.2.3.4',
    },
    'nameserver 1.2.3.4\n',
  ],
  [
    'a bridge with IPv6',
    { ownNetwork: true, networkServers: [], base: 'nameserver fd00::1\nnameserver 1.2.3.4' },
    'nameserver fd00::1\nnameserver 1.2.3.4\n',
  ],
];
for (const [name, parts, expected] of RESOLVERS)
  test(`resolv.conf: ${name}`, () => {
    const base = { base: host, servers: [], search: [], options: [], ownNetwork: false };
    assert.equal(resolverFile({ ...base, ...parts }), expected);
  });

test.run();
