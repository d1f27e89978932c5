import { equal, ok } from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import {
  createReadStream,
  createWriteStream,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { Header } from 'tar';
import { suite } from 'uvu';
import { measure } from '../../bench/measure.ts';
import { startRegistry } from '../../registry/index.ts';

const LAYER_BYTES = 2 * 1024 ** 3;
const LIMIT_BYTES = 150e6;
const NEEDED_BYTES = 4 * LAYER_BYTES;

const directory = mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), 'big-layer-'));
const { bavail, bsize } = statfsSync(directory);
const hasRoom = Number(bavail) * Number(bsize) > NEEDED_BYTES;
if (!hasRoom) console.log(`SKIP a 2 GB layer: needs ${NEEDED_BYTES / 1e9} GB of free disk`);

/** A tar of one file of 2 GiB that does not compress, in gzip without compression: no time goes into making it. */
async function* layerTar(): AsyncGenerator<Buffer> {
  const header = Buffer.alloc(512);
  new Header({
    path: 'big',
    type: 'File',
    size: LAYER_BYTES,
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: new Date(0),
  }).encode(header);
  yield header;
  const block = randomBytes(1 << 20);
  for (let written = 0; written < LAYER_BYTES; written += block.length) yield block;
  yield Buffer.alloc(1024);
}

async function makeLayout(layout: string): Promise<void> {
  const blobs = join(layout, 'blobs/sha256');
  mkdirSync(blobs, { recursive: true });
  const plain = createHash('sha256');
  const packed = createHash('sha256');
  let size = 0;
  async function* hashed(chunks: AsyncIterable<Buffer>, hash: typeof plain) {
    for await (const chunk of chunks) {
      hash.update(chunk);
      if (hash === packed) size += chunk.length;
      yield chunk;
    }
  }
  const part = join(blobs, 'part');
  const tar = Readable.from(hashed(layerTar(), plain), { objectMode: false });
  await pipeline(
    tar,
    createGzip({ level: 0 }),
    (chunks) => hashed(chunks as AsyncIterable<Buffer>, packed),
    createWriteStream(part),
  );
  const digest = packed.digest('hex');
  renameSync(part, join(blobs, digest));
  const put = (value: object) => {
    const bytes = Buffer.from(JSON.stringify(value));
    const hex = createHash('sha256').update(bytes).digest('hex');
    writeFileSync(join(blobs, hex), bytes);
    return { digest: `sha256:${hex}`, size: bytes.length };
  };
  const config = put({
    architecture: 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: [`sha256:${plain.digest('hex')}`] },
  });
  const layers = [
    { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: `sha256:${digest}`, size },
  ];
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = put({
    schemaVersion: 2,
    mediaType,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
    layers,
  });
  writeFileSync(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(
    join(layout, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType, ...manifest }] }),
  );
}

async function digestOfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

const test = suite('a 2 GB layer');
(hasRoom ? test : test.skip)('is pushed and pulled in under 150 MB of memory', async () => {
  const layout = join(directory, 'layout');
  await makeLayout(layout);
  await using registry = await startRegistry({ directory: join(directory, 'registry'), port: 0 });
  const name = `docker://127.0.0.1:${registry.port}/big/layer:1`;
  const environment = { XDG_CACHE_HOME: join(directory, 'cache'), TMPDIR: directory };
  const copy = (...args: string[]) =>
    measure('bin/skopeo', ['--insecure-policy', 'copy', '--quiet', ...args], { environment });
  const push = await copy('--dest-tls-verify=false', `oci:${layout}`, name);
  rmSync(layout, { recursive: true });
  const pull = await copy('--src-tls-verify=false', name, `oci:${join(directory, 'out')}:big`);
  const blobs = join(directory, 'out/blobs/sha256');
  const big = readdirSync(blobs).find((blob) => statSync(join(blobs, blob)).size > LAYER_BYTES);
  ok(big);
  equal(await digestOfFile(join(blobs, big)), big);
  console.log(
    `push ${push.seconds.toFixed(1)} s, ${(push.peakBytes / 1e6).toFixed(0)} MB; pull ${pull.seconds.toFixed(1)} s, ${(pull.peakBytes / 1e6).toFixed(0)} MB`,
  );
  ok(push.peakBytes < LIMIT_BYTES, `push took ${push.peakBytes} bytes`);
  ok(pull.peakBytes < LIMIT_BYTES, `pull took ${pull.peakBytes} bytes`);
});
test.after(() => rmSync(directory, { recursive: true, force: true }));
test.run();
