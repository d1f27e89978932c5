// A policy that somebody names and that cannot be read ends a command before any registry is asked.
import { equal, match } from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { suite } from 'uvu';
import { openBuildah } from '../../support/buildah-command.ts';

const test = suite('policies that cannot be read');
const { directory, run, ok, remove } = openBuildah('unusable-policy');
let requests = 0;
const server = createServer((_request, response) => {
  requests += 1;
  response.writeHead(500).end();
});

test.before(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const registry = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  mkdirSync(join(directory, 'context'));
  writeFileSync(join(directory, 'context/Containerfile'), `FROM ${registry}/x\n`);
  writeFileSync(join(directory, 'context/scratch'), 'FROM scratch\nLABEL a=b\n');
  await ok('from', '--name', 'container', 'scratch');
  await ok('commit', '--quiet', 'container', 'image');
  await ok('manifest', 'create', 'list');
});
test.after(async () => {
  server.close();
  await remove();
});

const COMMANDS: readonly (readonly [string, string])[] = [
  ['pull REGISTRY/x', ''],
  ['pull dir:/nowhere', ''],
  ['from REGISTRY/x', ''],
  ['from image', ''],
  ['build context', 'creating build container: '],
  ['build -f context/scratch context', 'building at STEP "LABEL a=b": '],
  ['copy --from REGISTRY/x container /x /y', 'no container named .*: '],
  ['push image docker://REGISTRY/x', 'pushing image "image" to "docker://REGISTRY/x": '],
  ['push image dir:out', 'pushing image "image" to "dir:out": '],
  ['commit container docker://REGISTRY/x', 'committing container "container" to "docker://REGISTRY/x": '],
  ['commit container other', 'committing container "container" to "other": '],
  ['manifest push list docker://REGISTRY/x', ''],
];
for (const [line, prefix] of COMMANDS)
  test(`buildah ${line}`, async () => {
    const registry = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const [command = '', ...rest] = line.replace('REGISTRY', registry).split(' ');
    const words = command === 'manifest' ? [command, rest.shift()!] : [command];
    const flags = ['--signature-policy', '/none', '--tls-verify=false'];
    const { code, err } = await run(...words, ...flags, ...rest);
    equal(code, 125);
    const expected = `${prefix.replace('REGISTRY', registry)}open /none: no such file or directory`;
    match(err, new RegExp(`^Error: ${expected}$`, 'm'));
    equal(requests, 0);
  });

test('what needs no policy does not ask for it', async () => {
  await ok('from', '--signature-policy', '/none', '--name', 'another', 'scratch');
});

test.run();
