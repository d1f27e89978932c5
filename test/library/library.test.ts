import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { suite } from 'uvu';
import { detectIsolation } from '../../build/run/detect.ts';
import { type BuildRequest, openSlipway, type Slipway, type TransferEvent } from '../../index.ts';
import { makeRootfs } from '../support/rootfs.ts';

const test = suite<{ directory: string; slipway: Slipway; events: TransferEvent[] }>('the library');
test.before.each(async (state) => {
  state.directory = mkdtempSync(join(tmpdir(), 'library-'));
  state.events = [];
  state.slipway = await openSlipway({
    environment: { HOME: state.directory, PATH: process.env.PATH },
    workingDirectory: state.directory,
    storage: { root: join(state.directory, 'root'), runRoot: join(state.directory, 'run'), driver: 'vfs' },
    temporaryDirectory: state.directory,
    onProgress: (event) => state.events.push(event),
  });
});
test.after.each(async ({ directory, slipway }) => {
  await slipway[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

test('builds without RUN and copies the result, with events and typed errors', async ({
  directory,
  slipway,
  events,
}) => {
  mkdirSync(join(directory, 'context'));
  writeFileSync(join(directory, 'context/hello.txt'), 'hello');
  writeFileSync(
    join(directory, 'context/Containerfile'),
    'FROM scratch\nARG WHO=nobody\nCOPY hello.txt /\nLABEL who=$WHO\n',
  );
  const stdout = new PassThrough();
  const result = await slipway.build({
    contextDirectory: 'context',
    names: ['localhost/hello:1'],
    arguments: { WHO: 'me' },
    stdout,
  });
  match(result.imageId, /^[0-9a-f]{64}$/);
  match(String(stdout.read()), /STEP 1\/4: FROM scratch/);
  const copied = await slipway.copy('containers-storage:localhost/hello:1', 'oci:layout:hello');
  equal(copied.images, 1);
  ok(events.some((event) => event.type === 'done'));
  await rejects(slipway.copy('oci:layout:none', 'dir:out'), { code: 'not-found' });
  await rejects(slipway.build({ contextDirectory: 'context', containerfile: 'FORM scratch' }), {
    code: 'syntax',
  });
});
test('takes what `buildah build` takes: labels, contexts, secrets, outputs, the network of RUN', async ({
  directory,
  slipway,
}) => {
  for (const name of ['context', 'more']) mkdirSync(join(directory, name));
  writeFileSync(join(directory, 'more/f'), 'from elsewhere');
  makeRootfs(join(directory, 'context/rootfs'), { commands: ['sh', 'cat', 'ls'] });
  const run =
    'RUN --mount=type=secret,id=s cat /run/secrets/s; test "$FRESH" = yes && ls /sys/class/net > /net';
  const build = (more: Partial<BuildRequest>, last = run) =>
    slipway.build({
      contextDirectory: 'context',
      containerfile: `FROM scratch\nCOPY rootfs/ /\nCOPY --from=other f /\n${last}\n`,
      contexts: new Map([['other', { kind: 'directory', path: join(directory, 'more') }]]),
      labels: ['a=b'],
      environment: ['FRESH=yes'],
      outputs: [{ type: 'local', path: join(directory, 'out') }],
      pullPolicy: undefined,
      ...more,
    });
  const { imageId } = await build({}, 'LABEL c=d');
  equal(readFileSync(join(directory, 'out/f'), 'utf8'), 'from elsewhere');
  const store = await slipway.store();
  const config = await store.images.bigData(imageId, `sha256:${imageId}`);
  deepEqual(JSON.parse(Buffer.from(config ?? []).toString()).config.Labels, {
    a: 'b',
    c: 'd',
    'io.buildah.version': 'slipway',
  });
  if (detectIsolation().reports.every(({ kind, works }) => kind === 'chroot' || !works))
    return console.log('SKIP RUN with a network of its own: no runtime works here');
  const stdout = new PassThrough();
  const secret = join(directory, 'secret');
  writeFileSync(secret, 'told once');
  await build({ secrets: new Map([['s', { kind: 'file', value: secret }]]), network: 'none', stdout });
  match(String(stdout.read()), /told once/);
  equal(readFileSync(join(directory, 'out/net'), 'utf8'), 'lo\n');
  await rejects(build({ network: 'no-such-network' }), { code: /bad-option|isolation-unavailable/ });
});

test.run();
