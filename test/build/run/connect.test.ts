import { deepEqual, equal } from 'node:assert/strict';
import { suite } from 'uvu';
import { bridgeSettings } from '../../../build/run/bridge/settings.ts';
import { connectNetwork, requestedNetwork } from '../../../build/run/connect.ts';
import type { RunRequest } from '../../../build/run/contract.ts';
import { CONTAINERS_DEFAULTS } from '../../../config/containers-defaults.ts';

const test = suite('build/run/connect');
const bridge = bridgeSettings(CONTAINERS_DEFAULTS);

test('a namespace option is host, a path, a user-mode stack or networks', () => {
  const own = { mode: 'private', strict: false, bridge };
  for (const [Path, expected] of [
    ['', own],
    ['bridge', own],
    ['default', own],
    ['/proc/1/ns/net', { mode: 'private', path: '/proc/1/ns/net' }],
    ['podman', { ...own, names: ['podman'] }],
    ['one,two', { ...own, names: ['one', 'two'] }],
    ['one:ip=10.0.0.1,two', { ...own, names: ['one:ip=10.0.0.1', 'two'] }],
    ['pasta', { ...own, options: [] }],
    ['pasta:--mtu,1500', { ...own, options: ['--mtu', '1500'] }],
  ] as const)
    deepEqual(requestedNetwork({ Host: false, Path }, 'default', bridge), expected, Path);
  deepEqual(requestedNetwork({ Host: true, Path: '' }, 'enabled', bridge), { mode: 'host' });
  deepEqual(requestedNetwork(undefined, undefined, undefined), { mode: 'private', strict: false });
});

test('a private network that is asked for is not replaced', () => {
  const strictness = (path: string | undefined, policy: 'default' | 'enabled') => {
    const option = path === undefined ? undefined : { Host: false, Path: path };
    return requestedNetwork(option, policy, undefined).strict;
  };
  deepEqual(
    [
      strictness('', 'enabled'),
      strictness('pasta', 'enabled'),
      strictness('', 'default'),
      strictness(undefined, 'enabled'),
    ],
    [true, true, false, false],
  );
});

test("nothing is made for runs that have a network, want none, or share the host's", async () => {
  await using stack = new AsyncDisposableStack();
  const connect = (request: Partial<RunRequest>) => connectNetwork(request as RunRequest, stack);
  equal(await connect({ isolation: 'oci', network: { mode: 'none' } }), undefined);
  equal(await connect({ isolation: 'oci', network: { mode: 'private', path: '/x' } }), undefined);
  equal(await connect({ isolation: 'chroot', network: { mode: 'private', bridge } }), undefined);
  const shared = { isolation: 'oci', namespaces: { network: 'host' }, network: { mode: 'private' } } as const;
  deepEqual(await connect(shared), { request: { mode: 'host' } });
});

test.run();
