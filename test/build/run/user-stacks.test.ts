import { deepEqual, equal } from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { suite } from 'uvu';
import { namespaceAddresses } from '../../../build/run/namespace-addresses.ts';
import { PASTA } from '../../../build/run/user-stacks.ts';

const test = suite('user-mode network stacks');

const tries = (...options: string[]) =>
  PASTA.attempts(7, options).map(({ words, ...offer }) => ({ ...offer, words: words.join(' ') }));

test('pasta forwards nothing, and maps the host where it knows how', () => {
  const [first, second, ...others] = tries();
  equal(others.length, 0);
  deepEqual([first?.host, second?.host], ['169.254.1.2', undefined]);
  deepEqual(first?.resolvers, ['169.254.1.1']);
  const words = second?.words ?? '';
  equal(first?.words, `${words} --map-guest-addr 169.254.1.2`);
  equal(
    words.replace(' --runas 0', ''),
    '--config-net --dns-forward 169.254.1.1 -t none -u none -T none -U none --no-map-gw --quiet --foreground' +
      ' --netns /proc/7/ns/net',
  );
});

test('options of the user replace those', () => {
  const given = ['--map-gw', '-t', '80', '--udp-ns', '53', '--debug', '--dns-forward', '10.0.0.1'];
  const [only, ...others] = tries(...given, '--map-guest-addr', '10.0.0.2');
  equal(others.length, 0);
  deepEqual([only?.host, only?.resolvers], ['10.0.0.2', ['10.0.0.1']]);
  equal(
    only?.words.replace(' --runas 0', ''),
    '--config-net -t 80 --udp-ns 53 --debug --dns-forward 10.0.0.1 --map-guest-addr 10.0.0.2 -u none -T none' +
      ' --foreground --netns /proc/7/ns/net',
  );
});

test('the addresses of a namespace are those of its interfaces', () => {
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const outer = own.filter(({ internal, address }) => !(internal || address.startsWith('fe80:')));
  const sorted = (list: readonly string[]) => [...new Set(list)].sort();
  deepEqual(sorted(namespaceAddresses(process.pid)), sorted(outer.map(({ address }) => address)));
});

test.run();
