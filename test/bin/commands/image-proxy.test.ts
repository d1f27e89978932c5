import { deepEqual, equal, match } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, createReadStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { suite } from 'uvu';
import { ImageProxy, type ProxyAnswer } from '../../../bin/commands/skopeo/image-proxy-methods.ts';
import { libcFunction, loadKoffi } from '../../../store/kernel/libc.ts';
import { MessageSocket } from '../../../store/kernel/message-socket.ts';
import { writeLayout } from '../../support/layout.ts';

const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const socketPair = libcFunction('socketpair', 'int', ['int', 'int', 'int', 'void*']);

const test = suite<{ directory: string; image: ReturnType<typeof writeLayout> }>('skopeo image proxy');
test.before.each((context) => {
  context.directory = mkdtempSync(join(tmpdir(), 'slipway-proxy-'));
  context.image = writeLayout(join(context.directory, 'a'), 'x');
});
test.after.each(({ directory }) => rmSync(directory, { recursive: true, force: true }));

function startProxy(directory: string): ImageProxy {
  return new ImageProxy({
    workingDirectory: directory,
    images: { platform: { os: 'linux', architecture: 'amd64' }, temporaryDirectory: directory },
    openPolicy: async () => ({ admit: async () => {} }),
  });
}

async function call(proxy: ImageProxy, method: string, ...args: unknown[]): Promise<ProxyAnswer> {
  const answer = await proxy.answer(Buffer.from(JSON.stringify({ method, args })));
  if (!answer) throw new Error('no answer');
  return answer;
}

/** What comes out of the pipe of an answer, and whether all went well. */
async function piped(proxy: ImageProxy, answer: ProxyAnswer): Promise<[Buffer, ProxyAnswer]> {
  const [end] = answer.descriptors;
  if (end === undefined) throw new Error(`no pipe: ${JSON.stringify(answer.reply)}`);
  const content = buffer(createReadStream('', { fd: end }));
  const finished = await call(proxy, 'FinishPipe', answer.reply.pipeid);
  return [await content, finished];
}

test('manifest, configs, layers and blobs of an image', async ({ directory, image }) => {
  await using proxy = startProxy(directory);
  equal((await call(proxy, 'Initialize')).reply.value, '0.2.8');
  const { value: id } = (await call(proxy, 'OpenImage', 'oci:a:x')).reply;
  equal(id, 1);
  const manifest = await call(proxy, 'GetManifest', id);
  equal(manifest.reply.value, image.digest);
  deepEqual((await piped(proxy, manifest))[0], image.manifest);
  const [full] = await piped(proxy, await call(proxy, 'GetFullConfig', id));
  equal(JSON.parse(full.toString()).architecture, 'amd64');
  const [config] = await piped(proxy, await call(proxy, 'GetConfig', id));
  deepEqual(JSON.parse(config.toString()), JSON.parse(full.toString()).config);
  const layers = (await call(proxy, 'GetLayerInfo', id)).reply.value as Record<string, unknown>[];
  deepEqual(
    layers.map(({ digest, size, media_type }) => ({ mediaType: media_type, digest, size })),
    JSON.parse(image.manifest.toString()).layers,
  );
  const [layer] = layers;
  const [blob, finished] = await piped(proxy, await call(proxy, 'GetBlob', id, layer?.digest, layer?.size));
  equal(blob.length, layer?.size);
  equal(finished.reply.success, true);
  const longer = await call(proxy, 'GetBlob', id, layer?.digest, Number(layer?.size) + 1);
  const [, refused] = await piped(proxy, longer);
  equal(refused.reply.success, false);
  match(String(refused.reply.error), /ends after/);
});

test('raw blobs tell errors through a pipe of their own', async ({ directory, image }) => {
  await using proxy = startProxy(directory);
  await call(proxy, 'Initialize');
  const { value: id } = (await call(proxy, 'OpenImage', 'oci:a:x')).reply;
  const [layer] = JSON.parse(image.manifest.toString()).layers;
  const { reply, descriptors } = await call(proxy, 'GetRawBlob', id, layer.digest);
  deepEqual([reply.value, reply.pipeid, descriptors.length], [layer.size, 0, 2]);
  const [data, errors] = await Promise.all(descriptors.map((fd) => buffer(createReadStream('', { fd }))));
  deepEqual([data?.length, errors?.length], [layer.size, 0]);
});

test('wrong requests are answered, not fatal', async ({ directory }) => {
  await using proxy = startProxy(directory);
  const rows: [string, unknown[], RegExp][] = [
    ['OpenImage', ['oci:a:x'], /must invoke Initialize/],
    ['Initialize', [1], /expecting zero arguments/],
    ['Initialize', [], /^$/],
    ['Initialize', [], /already initialized/],
    ['OpenImage', ['oci:a:none'], /no descriptor found for reference "none"/],
    ['OpenImageOptional', ['oci:a:none'], /^$/],
    ['GetManifest', [0], /imageid value of zero/],
    ['GetManifest', [7], /no image 7/],
    ['GetManifest', ['1'], /expecting numeric/],
    ['FinishPipe', [99], /no active pipe 99/],
    ['constructor', [], /unknown method: constructor/],
  ];
  for (const [method, args, pattern] of rows)
    match(String((await call(proxy, method, ...args)).reply.error), pattern, method);
  match(String((await proxy.answer(Buffer.from('junk')))?.reply.error), /^invalid request/);
});

test('the command answers on its socket and ends when it is told to', async ({ directory }) => {
  const [ours, theirs] = openPair();
  const words = ['--insecure-policy', 'experimental-image-proxy', '--sockfd', '3'];
  const child = spawn(join(process.cwd(), 'bin/skopeo'), words, {
    cwd: directory,
    stdio: ['ignore', 'ignore', 'pipe', theirs],
  });
  closeSync(theirs);
  const stderr = text(child.stderr as NodeJS.ReadableStream & AsyncIterable<Buffer>);
  const socket = new MessageSocket(ours, 65536);
  const ask = async (method: string, ...args: unknown[]) => {
    socket.send(Buffer.from(JSON.stringify({ method, args })));
    return JSON.parse(String(await socket.receive()));
  };
  deepEqual(await ask('Initialize'), {
    success: true,
    value: '0.2.8',
    pipeid: 0,
    error_code: '',
    error: '',
  });
  equal((await ask('OpenImage', 'oci:a:x')).value, 1);
  socket.send(Buffer.from('{"method":"Shutdown","args":[]}'));
  const [code] = await once(child, 'exit');
  closeSync(ours);
  deepEqual([code, await stderr], [0, '']);
});

test('descriptors go with messages', async () => {
  const [one, other] = openPair();
  const [content] = openPair();
  const socket = new MessageSocket(one, 1024);
  socket.send(Buffer.from('x'), [content]);
  const control = Buffer.alloc(64);
  const header = {
    name: null,
    nameLength: 0,
    parts: { base: Buffer.alloc(16), length: 16 },
    count: 1,
    control,
    controlLength: control.length,
    flags: 0,
  };
  const call = loadKoffi()
    .load(null)
    .func('long recvmsg(int socket, _Inout_ message_header *message, int flags)');
  equal(Number(call(other, header, 0)), 1);
  const received = control.readInt32LE(16);
  equal(received > 2 && received !== content, true);
  for (const descriptor of [one, other, content, received]) closeSync(descriptor);
});

function openPair(): [number, number] {
  const pair = Buffer.alloc(8);
  equal(socketPair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
  return [pair.readInt32LE(0), pair.readInt32LE(4)];
}
test.run();
