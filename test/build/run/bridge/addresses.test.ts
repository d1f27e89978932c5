import { deepEqual, equal } from 'node:assert/strict';
import { suite } from 'uvu';
import {
  contains,
  formatAddress,
  formatSubnet,
  lastAddress,
  parseAddress,
  parseSubnet,
  step,
} from '../../../../build/run/bridge/addresses.ts';

const test = suite('build/run/bridge/addresses');
const text = (address: Buffer | undefined) => address && formatAddress(address);

test('addresses are written as Go writes them', () => {
  for (const [given, expected] of [
    ['10.88.0.1', '10.88.0.1'],
    ['::', '::'],
    ['::1', '::1'],
    ['FD00:0:0:201::4', 'fd00:0:0:201::4'],
    ['fd00:0:0:1:0:0:0:1', 'fd00:0:0:1::1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['1:0:0:2:3:0:0:4', '1::2:3:0:0:4'],
    ['fe80::', 'fe80::'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['10.0.0', undefined],
    ['10.0.0.256', undefined],
    ['fe80::1%eth0', undefined],
    ['', undefined],
  ] as const)
    equal(text(parseAddress(given)), expected, given);
});

test('subnets lose the bits behind their prefix', () => {
  for (const [given, expected, last] of [
    ['10.88.1.2/16', '10.88.0.0/16', '10.88.255.255'],
    ['10.88.1.6/30', '10.88.1.4/30', '10.88.1.7'],
    ['10.88.1.6/32', '10.88.1.6/32', '10.88.1.6'],
    ['0.0.0.0/0', '0.0.0.0/0', '255.255.255.255'],
    ['fd00:1:2:3:4::/60', 'fd00:1:2::/60', 'fd00:1:2:f:ffff:ffff:ffff:ffff'],
    ['10.0.0.0/33', undefined, undefined],
    ['10.0.0.0', undefined, undefined],
    ['10.0.0.0/', undefined, undefined],
    ['x/8', undefined, undefined],
  ] as const) {
    const subnet = parseSubnet(given);
    equal(subnet && formatSubnet(subnet), expected, given);
    equal(subnet && formatAddress(lastAddress(subnet)), last, given);
  }
});

test('an address is in a subnet of its own kind alone', () => {
  const subnet = parseSubnet('10.1.2.0/23') as NonNullable<ReturnType<typeof parseSubnet>>;
  const inside = ['10.1.3.255', '10.1.4.0', '::ffff:10.1.2.0', '::10.1.2.0'].map((address) =>
    contains(subnet, parseAddress(address) as Buffer),
  );
  deepEqual(inside, [true, false, true, false]);
});

test('steps carry and go round', () => {
  const moved = (address: string, by: 1 | -1) => formatAddress(step(parseAddress(address) as Buffer, by));
  equal(moved('10.0.255.255', 1), '10.1.0.0');
  equal(moved('10.1.0.0', -1), '10.0.255.255');
  equal(moved('255.255.255.255', 1), '0.0.0.0');
  equal(moved('fd00::ffff', 1), 'fd00::1:0');
});

test.run();
