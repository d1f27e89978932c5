// Our registry with Skopeo and Podman, and our client with Docker's registry.
import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { test } from 'uvu';
import { digestOf } from '../../../image/digest.ts';
import { parseUsers } from '../../../registry/users.ts';
import { isDeletable, listsTags } from '../../../transport/contract.ts';
import { parse } from '../../../transport/docker/reference.ts';
import { dockerContext } from '../../support/docker-context.ts';
import { seedImage, startTestRegistry } from '../../support/registry.ts';

const work = mkdtempSync(join(tmpdir(), 'slipway-interop-registry-'));
process.on('exit', () => rmSync(work, { recursive: true, force: true }));
const path = (...parts: string[]) => join(work, ...parts);

/** Peers run beside our server in this process, so they must not block it. */
function run(program: string, ...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const environment = { ...process.env, REGISTRY_AUTH_FILE: path('auth.json') };
    execFile(program, args, { env: environment, timeout: 60_000 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${program} ${args.join(' ')}: ${stderr || error.message}`));
      else resolve(stdout);
    });
  });
}

const has = (program: string) => spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined;
function peerTest(peer: string, name: string, body: () => Promise<void>, needsRoot = false): void {
  const reason = !has(peer)
    ? `${peer} is not installed`
    : needsRoot && process.getuid?.() !== 0
      ? 'needs root'
      : '';
  if (reason) console.log(`SKIP ${name}: ${reason}`);
  (reason ? test.skip : test)(name, body);
}

/** A dir: image of one gzip layer with a file in it, as Skopeo reads it. */
function writeImage(directory: string): void {
  mkdirSync(directory, { recursive: true });
  const tar = spawnSync('tar', ['-c', '-C', work, '--transform', 's,.*,hello,', 'seed'], {
    encoding: 'buffer',
  }).stdout;
  const layer = gzipSync(tar);
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: [digestOf(tar)] },
    history: [{ created_by: 'test' }],
  });
  const describe = (bytes: Uint8Array | string, mediaType: string) => ({
    mediaType,
    digest: digestOf(bytes),
    size: Buffer.byteLength(bytes as string),
  });
  const manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: describe(config, 'application/vnd.oci.image.config.v1+json'),
    layers: [describe(layer, 'application/vnd.oci.image.layer.v1.tar+gzip')],
  };
  writeFileSync(join(directory, 'version'), 'Directory Transport Version: 1.1\n');
  writeFileSync(join(directory, 'manifest.json'), JSON.stringify(manifest));
  for (const bytes of [config, layer]) writeFileSync(join(directory, digestOf(bytes).slice(7)), bytes);
}
writeFileSync(path('seed'), 'hello from a layer\n');
writeImage(path('image'));
const DIGEST = digestOf(readFileSync(path('image/manifest.json')));

for (const kind of ['basic', 'bearer'] as const)
  peerTest(
    'skopeo',
    `Skopeo pushes to, lists, reads and deletes from our registry with ${kind} authentication`,
    async () => {
      await using registry = await startTestRegistry({ auth: { kind, users: parseUsers('alice:s3cret') } });
      const at = `docker://${registry.address}/team/app`;
      await run('skopeo', 'login', '--tls-verify=false', '-u', 'alice', '-p', 's3cret', registry.address);
      await run(
        'skopeo',
        'copy',
        '--preserve-digests',
        '--dest-tls-verify=false',
        `dir:${path('image')}`,
        `${at}:v1`,
      );
      const inspected = JSON.parse(await run('skopeo', 'inspect', '--tls-verify=false', `${at}:v1`));
      assert.equal(inspected.Digest, DIGEST);
      await run(
        'skopeo',
        'copy',
        '--src-tls-verify=false',
        '--dest-tls-verify=false',
        `${at}:v1`,
        `docker://${registry.address}/other:v2`,
      );
      await run(
        'skopeo',
        'copy',
        '--src-tls-verify=false',
        `docker://${registry.address}/other@${DIGEST}`,
        `dir:${path(`back-${kind}`)}`,
      );
      assert.equal(digestOf(readFileSync(path(`back-${kind}`, 'manifest.json'))), DIGEST);
      assert.deepEqual(JSON.parse(await run('skopeo', 'list-tags', '--tls-verify=false', at)).Tags, ['v1']);
      await run('skopeo', 'delete', '--tls-verify=false', `${at}:v1`);
      await assert.rejects(run('skopeo', 'inspect', '--tls-verify=false', `${at}:v1`), /manifest unknown/);
    },
  );

peerTest(
  'podman',
  'Podman pulls from and pushes to our registry',
  async () => {
    await using registry = await startTestRegistry();
    await run(
      'skopeo',
      'copy',
      '--dest-tls-verify=false',
      `dir:${path('image')}`,
      `docker://${registry.address}/app:v1`,
    );
    const store = ['--root', path('store'), '--runroot', path('run'), '--storage-driver', 'vfs'];
    const podman = (...args: string[]) => run('podman', ...store, ...args);
    try {
      await podman('pull', '--tls-verify=false', `${registry.address}/app:v1`);
      await podman(
        'push',
        '--tls-verify=false',
        `${registry.address}/app:v1`,
        `${registry.address}/pushed:v2`,
      );
    } finally {
      await podman('rmi', '--all', '--force').catch(() => '');
    }
    const response = await fetch(`${registry.url}/v2/pushed/manifests/v2`);
    assert.equal(response.status, 200);
  },
  true,
);

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address ? address.port : 0;
}

async function startDockerRegistry() {
  const port = await freePort();
  const file = path('registry.yml');
  writeFileSync(
    file,
    `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${path('docker')}}, delete: {enabled: true}}\nhttp: {addr: 127.0.0.1:${port}}\n`,
  );
  const child = spawn('docker-registry', ['serve', file], { stdio: 'ignore' });
  const address = `127.0.0.1:${port}`;
  for (let tries = 0; tries < 100; tries += 1) {
    if (
      await fetch(`http://${address}/v2/`).then(
        () => true,
        () => false,
      )
    )
      break;
    await sleep(50);
  }
  return {
    address,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        child.once('close', () => resolve());
        child.kill();
      }),
  };
}

peerTest('docker-registry', "our client works with Docker's registry", async () => {
  await using peer = await startDockerRegistry();
  await using ours = await startTestRegistry();
  const image = await seedImage(ours, 'app', 'v1', ['one layer', 'another']);
  const context = dockerContext();
  const reference = parse(`//${peer.address}/copied/app:v1`);
  {
    await using source = await parse(`//${ours.address}/app:v1`).openSource(context);
    await using destination = await reference.openDestination(context);
    for (const descriptor of [...image.layers, image.config]) {
      const blob = await source.getBlob(descriptor);
      // One with a digest known beforehand, one without.
      const known = descriptor === image.layers[0] ? descriptor : { mediaType: descriptor.mediaType };
      await destination.putBlob(blob, known, { isConfig: descriptor === image.config });
    }
    const manifest = await source.getManifest();
    await destination.putManifest(manifest.bytes, manifest.mediaType);
    await using second = await parse(`//${peer.address}/second:v1`).openDestination(context);
    const mounted = await second.tryReuseBlob(image.layers[0]!, {
      isConfig: false,
      candidates: [reference.named],
    });
    assert.equal(mounted?.how, 'mounted');
  }
  await using source = await reference.openSource(context);
  const chunks: Buffer[] = [];
  for await (const chunk of (await source.getBlob(image.layers[1]!, { offset: 2 })).stream)
    chunks.push(chunk as Buffer);
  assert.equal(Buffer.concat(chunks).toString(), 'other');
  assert.ok(listsTags(source) && isDeletable(reference));
  assert.deepEqual(await source.listTags(), ['v1']);
  await reference.deleteImage(context);
  await assert.rejects(reference.openSource(context), { code: 'not-found', message: /manifest unknown/ });
});

test.run();
