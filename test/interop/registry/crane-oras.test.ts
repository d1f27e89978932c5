// crane and oras: what they write we read, what we write they read, and digests agree.
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import { writeIndexLayout, writeLayout } from '../../support/layout.ts';
import { seedImage, startTestRegistry, type TestRegistry } from '../../support/registry.ts';
import { findPeer, ours, run, workDirectory } from '../sign/peers.ts';

const crane = findPeer('crane', 'SLIPWAY_PEER_CRANE', ['version']);
const oras = findPeer('oras', 'SLIPWAY_PEER_ORAS', ['version']);
const { directory, remove } = workDirectory();
process.on('exit', remove);
const at = (...names: string[]) => join(directory, ...names);
const PLAIN = '--tls-verify=false';
writeFileSync(at('auth.json'), '{}');
const env = { HOME: directory, REGISTRY_AUTH_FILE: at('auth.json'), DOCKER_CONFIG: directory };

function peerTest(
  peer: string | undefined,
  name: string,
  body: (peer: string, registry: TestRegistry) => Promise<void>,
): void {
  if (!peer) console.log(`SKIP ${name}: the peer is not installed`);
  (peer ? test : test.skip)(name, async () => {
    await using registry = await startTestRegistry();
    await body(peer as string, registry);
  });
}

async function succeed(result: ReturnType<typeof run>): Promise<string> {
  const { code, output } = await result;
  equal(code, 0, output);
  return output.trim();
}
const slipway = (...words: string[]) => succeed(ours('slipway', words, env));
const last = (output: string) => output.split('\n').at(-1) as string;

peerTest(
  crane,
  'crane reads the images that we push, and finds nothing to complain about',
  async (peer, registry) => {
    const { digest } = writeLayout(at('image'), 'x');
    const name = `${registry.address}/ours:1`;
    await slipway('copy', '-q', '--dest-tls-verify=false', `oci:${at('image')}:x`, name);
    equal(await succeed(run(peer, ['digest', '--insecure', name], env)), digest);
    match(await succeed(run(peer, ['validate', '--insecure', '--remote', name], env)), /^PASS/);
    equal(await succeed(run(peer, ['ls', '--insecure', `${registry.address}/ours`], env)), '1');
  },
);

peerTest(crane, 'we read images, indexes and archives that crane writes', async (peer, registry) => {
  const index = writeIndexLayout(at('index'), 'x', [
    { os: 'linux', architecture: 'amd64' },
    { os: 'linux', architecture: 'arm64' },
  ]);
  const name = `${registry.address}/theirs:1`;
  await succeed(run(peer, ['push', '--insecure', '--index', at('index'), name], env));
  equal(
    await slipway('artifact', 'resolve', PLAIN, name),
    await succeed(run(peer, ['digest', '--insecure', name], env)),
  );
  equal(
    await slipway('copy', '-q', PLAIN, name, `dir:${at('from-crane')}`),
    await slipway('artifact', 'resolve', PLAIN, name),
  );
  await slipway(
    'copy',
    '-q',
    '--dest-tls-verify=false',
    `oci:${at('index')}:x`,
    `${registry.address}/index:1`,
  );
  equal(await succeed(run(peer, ['digest', '--insecure', `${registry.address}/index:1`], env)), index.digest);
  const { digest } = await seedImage(registry, 'seed', '1');
  await succeed(run(peer, ['pull', '--insecure', `${registry.address}/seed:1`, at('crane.tar')], env));
  match(
    await slipway('copy', '-q', `docker-archive:${at('crane.tar')}`, `dir:${at('from-tar')}`),
    /^sha256:/,
  );
  await succeed(
    run(peer, ['pull', '--insecure', '--format', 'oci', `${registry.address}/seed:1`, at('crane-oci')], env),
  );
  equal(
    await slipway('copy', '-q', '--preserve-digests', `oci:${at('crane-oci')}`, `dir:${at('from-oci')}`),
    digest,
  );
});

peerTest(crane, 'crane copies, tags and deletes in our registry', async (peer, registry) => {
  const { digest } = await seedImage(registry, 'app', '1');
  const { address } = registry;
  await succeed(run(peer, ['cp', '--insecure', `${address}/app:1`, `${address}/copy:1`], env));
  await succeed(run(peer, ['tag', '--insecure', `${address}/copy:1`, '2'], env));
  equal(await slipway('artifact', 'resolve', PLAIN, `${address}/copy:2`), digest);
  await succeed(run(peer, ['delete', '--insecure', `${address}/copy@${digest}`], env));
  equal((await ours('slipway', ['inspect', PLAIN, `${address}/copy:1`], env)).code, 2);
  match(await succeed(run(peer, ['catalog', '--insecure', address], env)), /^app$/m);
});

peerTest(oras, 'files that oras pushes we pull, and the other way round', async (peer, registry) => {
  mkdirSync(at('files/docs'), { recursive: true });
  writeFileSync(at('files/report.json'), '{}');
  writeFileSync(at('files/docs/a'), 'text');
  const [theirs, own] = [`${registry.address}/art:theirs`, `${registry.address}/art:ours`];
  const files = ['report.json:application/json', 'docs'];
  const work = process.cwd();
  process.chdir(at('files'));
  try {
    await succeed(run(peer, ['push', '--plain-http', '--artifact-type', 'a/b', theirs, ...files], env));
  } finally {
    process.chdir(work);
  }
  await slipway('artifact', 'pull', '-q', PLAIN, '-o', at('pulled'), theirs);
  deepEqual(
    ['report.json', 'docs/a'].map((name) => readFileSync(at('pulled', name), 'utf8')),
    ['{}', 'text'],
  );
  await slipway(
    ...['artifact', 'push', '-q', PLAIN, '--disable-path-validation', '--artifact-type', 'a/b', own],
    `${at('files/report.json')}:application/json`,
  );
  const [mine, other] = await Promise.all(
    [own, theirs].map(async (name) =>
      JSON.parse(await succeed(run(peer, ['manifest', 'fetch', '--plain-http', name], env))),
    ),
  );
  deepEqual([mine.artifactType, mine.config], [other.artifactType, other.config]);
  equal(mine.layers[0].digest, other.layers[0].digest);
  equal(
    await succeed(run(peer, ['resolve', '--plain-http', own], env)),
    await slipway('artifact', 'resolve', PLAIN, own),
  );
});

peerTest(oras, 'both discover what the other attached, and copy it along', async (peer, registry) => {
  const { digest } = await seedImage(registry, 'app', '1');
  writeFileSync(at('sbom'), 'sbom');
  const name = `${registry.address}/app:1`;
  await succeed(
    run(
      peer,
      [
        'attach',
        '--plain-http',
        '--disable-path-validation',
        '--artifact-type',
        'their/sbom',
        name,
        at('sbom'),
      ],
      env,
    ),
  );
  await slipway(
    'artifact',
    'attach',
    '-q',
    PLAIN,
    '--disable-path-validation',
    '--artifact-type',
    'our/sbom',
    name,
    at('sbom'),
  );
  for (const output of [
    await succeed(run(peer, ['discover', '--plain-http', name], env)),
    await slipway('artifact', 'discover', PLAIN, name),
  ])
    ok(output.includes('their/sbom') && output.includes('our/sbom'), output);
  const target = `${registry.address}/mirror:1`;
  equal(
    last(await slipway('copy', '-q', '--src-tls-verify=false', '--dest-tls-verify=false', name, target)),
    digest,
  );
  const mirrored = await succeed(run(peer, ['discover', '--plain-http', target], env));
  ok(mirrored.includes('their/sbom') && mirrored.includes('our/sbom'), mirrored);
  await succeed(
    run(peer, ['cp', '-r', '--from-plain-http', '--to-plain-http', name, `${registry.address}/oras:1`], env),
  );
  match(await slipway('artifact', 'discover', PLAIN, `${registry.address}/oras:1`), /their\/sbom/);
});

peerTest(oras, 'backups of one restore with the other', async (peer, registry) => {
  const { digest } = await seedImage(registry, 'app', '1');
  const { address } = registry;
  await slipway('artifact', 'backup', '-q', PLAIN, '-o', at('ours.tar'), `${address}/app`);
  await succeed(run(peer, ['restore', '--plain-http', '--input', at('ours.tar'), `${address}/a`], env));
  equal(await slipway('artifact', 'resolve', PLAIN, `${address}/a:1`), digest);
  await succeed(run(peer, ['backup', '--plain-http', '-o', at('theirs.tar'), `${address}/app:1`], env));
  ok(existsSync(at('theirs.tar')));
  await slipway('artifact', 'restore', '-q', PLAIN, '--input', at('theirs.tar'), `${address}/b`);
  equal(await slipway('artifact', 'resolve', PLAIN, `${address}/b:1`), digest);
});

test.run();
