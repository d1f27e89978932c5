import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { suite } from 'uvu';
import { copyImage } from '../../transport/copy.ts';
import { parseImageReference } from '../../transport/references.ts';
import { listTags } from '../../transport/tags.ts';
import { ANYTHING, contextFor, writeLayout } from '../support/layout.ts';

interface State {
  directory: string;
  engine: Engine;
}

/** A stand-in for the Docker engine: images/get and images/load over a unix or TCP socket. */
class Engine {
  readonly requests: string[] = [];
  loaded: Buffer | undefined;
  aborted = false;
  /** What load answers; by default success. */
  loadAnswer: { status: number; body: string } = { status: 200, body: '{"stream":"Loaded image"}\n' };
  saved: Buffer | undefined;
  readonly server: Server = createServer((request, response) => {
    this.requests.push(`${request.method} ${request.url}`);
    if (request.method === 'GET') {
      if (!this.saved)
        response
          .writeHead(404, { 'content-type': 'application/json' })
          .end('{"message":"No such image: none:1"}');
      else response.writeHead(200, { 'content-type': 'application/x-tar' }).end(this.saved);
      return;
    }
    request.on('aborted', () => {
      this.aborted = true;
    });
    buffer(request).then(
      (bytes) => {
        this.loaded = bytes;
        response
          .writeHead(this.loadAnswer.status, { 'content-type': 'application/json' })
          .end(this.loadAnswer.body);
      },
      () => {},
    );
  });
}

const test = suite<State>('docker-daemon');
test.before.each(async (state) => {
  state.directory = mkdtempSync(join(tmpdir(), 'daemon-'));
  state.engine = new Engine();
  await new Promise<void>((resolve) =>
    state.engine.server.listen(join(state.directory, 'docker.sock'), resolve),
  );
  writeLayout(join(state.directory, 'a'), 'x');
});
test.after.each(async ({ directory, engine }) => {
  await new Promise((resolve) => {
    engine.server.close(resolve);
    engine.server.closeAllConnections();
  });
  rmSync(directory, { recursive: true, force: true });
});

async function copy(directory: string, from: string, to: string, host = `unix://${directory}/docker.sock`) {
  const parse = (text: string) => parseImageReference(text, { workingDirectory: directory });
  const context = contextFor(directory, { daemon: { host } });
  return copyImage(ANYTHING, await parse(from), await parse(to), { source: context, destination: context });
}

test('loads an image into the engine, and takes it back from there', async ({ directory, engine }) => {
  await copy(directory, 'oci:a:x', 'docker-daemon:example.com/app:1');
  deepEqual(engine.requests, ['POST /images/load?quiet=1']);
  writeFileSync(join(directory, 'loaded.tar'), engine.loaded as Buffer);
  const archive = await parseImageReference('docker-archive:loaded.tar', { workingDirectory: directory });
  deepEqual(await listTags(archive, contextFor(directory)), ['example.com/app:1']);
  await copy(directory, 'oci:a:x', 'docker-archive:b.tar:example.com/app:1');
  engine.saved = readFileSync(join(directory, 'b.tar'));
  const back = await copy(directory, 'docker-daemon:example.com/app:1', 'oci:c:x');
  equal(engine.requests.at(-1), 'GET /images/get?names=example.com%2Fapp%3A1');
  equal(back.images, 1);
});

test('a TCP engine is reached too', async ({ directory }) => {
  const engine = new Engine();
  await new Promise<void>((resolve) => engine.server.listen(0, '127.0.0.1', resolve));
  const { port } = engine.server.address() as AddressInfo;
  await copy(directory, 'oci:a:x', 'docker-daemon:app:1', `http://127.0.0.1:${port}`);
  ok(engine.loaded);
  await rejects(copy(directory, 'oci:a:x', 'docker-daemon:app:1', 'ftp://x'), { code: 'bad-option' });
  engine.server.close();
});

test('what the engine complains about is an error with its words', async ({ directory, engine }) => {
  engine.loadAnswer = {
    status: 200,
    body: '{"stream":"x"}\n{"errorDetail":{"message":"no space left"},"error":"no space left"}\n',
  };
  await rejects(copy(directory, 'oci:a:x', 'docker-daemon:app:1'), /docker engine reported: "no space left"/);
  engine.loadAnswer = { status: 500, body: '{"message":"boom\\u001b[31m"}' };
  await rejects(copy(directory, 'oci:a:x', 'docker-daemon:app:1'), /boom\?\[31m/);
  engine.loadAnswer = { status: 200, body: 'garbage' };
  await rejects(copy(directory, 'oci:a:x', 'docker-daemon:app:1'), /parsing docker load progress/);
  await rejects(copy(directory, 'docker-daemon:none:1', 'dir:b'), {
    code: 'not-found',
    message: /No such image/,
  });
  engine.saved = Buffer.from('not a tar');
  await rejects(copy(directory, 'docker-daemon:app:1', 'dir:c'));
});

test('a copy that fails does not end the archive that the engine reads', async ({ directory, engine }) => {
  const image = writeLayout(join(directory, 'bad'), 'x');
  writeFileSync(join(directory, 'bad/blobs/sha256', image.layers[0]!.digest.slice(7)), 'broken');
  await rejects(copy(directory, 'oci:bad:x', 'docker-daemon:app:1'));
  await new Promise((resolve) => setTimeout(resolve, 50));
  equal(engine.loaded, undefined);
});

test('no engine is one clear line', async ({ directory }) => {
  const error = await copy(directory, 'docker-daemon:app:1', 'dir:b', `unix://${directory}/none.sock`).catch(
    (reason: Error) => reason,
  );
  match((error as Error).message, /Cannot connect to the Docker daemon at unix:.*none\.sock/);
  await rejects(copy(directory, 'oci:a:x', `docker-daemon:sha256:${'a'.repeat(64)}`), /must be a name:tag/);
  await rejects(
    copy(directory, 'oci:a:x', 'docker-daemon:app:1', `unix://${directory}/none.sock`),
    /Cannot connect to the Docker daemon at unix:.*none\.sock/,
  );
});

test.run();
