import { equal, match, ok, rejects } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { suite } from 'uvu';
import { openSlipway, type Slipway, type TransferEvent } from '../../index.ts';

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
test.run();
