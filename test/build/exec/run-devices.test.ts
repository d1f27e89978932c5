import { deepEqual, rejects, throws } from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { BuildError } from '../../../build/error.ts';
import type { BuildOptions } from '../../../build/exec/options.ts';
import { allowedDevices, parseDevice } from '../../../build/exec/run-devices.ts';

const test = suite('RUN --device');
const directory = mkdtempSync(join(tmpdir(), 'slipway-cdi-'));
test.after(() => rmSync(directory, { recursive: true }));
const device = (name: string, annotations = {}) => ({ name, annotations, containerEdits: {} });
writeFileSync(
  join(directory, 'a.json'),
  JSON.stringify({
    cdiVersion: '0.6.0',
    kind: 'example.com/gpu',
    devices: [
      device('one'),
      device('two', { 'org.mobyproject.buildkit.device.class': 'fast' }),
      device('free', { 'org.mobyproject.buildkit.device.autoallow': 'true' }),
    ],
  }),
);

function allowed(requests: readonly string[], entitlements: readonly string[]) {
  const run = { cdiDirectories: [directory] } as unknown as BuildOptions['run'];
  return allowedDevices(requests, { entitlements, run });
}

test('what a request names', () => {
  deepEqual(parseDevice('a.b/c=d'), { name: 'a.b/c=d', required: false });
  deepEqual(parseDevice('name=a.b/c=d,required'), { name: 'a.b/c=d', required: true });
  deepEqual(parseDevice('required=false,a.b/c'), { name: 'a.b/c', required: false });
  for (const text of ['', 'required', 'a.b/c,x=y', 'a.b/c,required=maybe', 'a,b'])
    throws(() => parseDevice(text), BuildError);
});

const NAMES: readonly [request: string, expected: readonly string[]][] = [
  ['example.com/gpu', ['example.com/gpu=free']],
  ['example.com/gpu=one', ['example.com/gpu=one']],
  ['example.com/gpu=*', ['example.com/gpu=free', 'example.com/gpu=one', 'example.com/gpu=two']],
  ['fast', ['example.com/gpu=two']],
  ['slow', []],
  ['example.com/gpu=none', []],
  ['/dev/null', []],
];
for (const [request, expected] of NAMES)
  test(`${request} stands for ${expected.length} devices`, async () =>
    deepEqual(await allowed([request], ['device']), expected));

test('SECURITY B06: a device needs an entitlement, or a specification that gives it to everyone', async () => {
  const notAllowed = (error: unknown) => error instanceof BuildError && /not allowed/.test(error.message);
  await rejects(allowed(['example.com/gpu=one'], []), notAllowed);
  await rejects(allowed(['example.com/gpu=*'], ['device=example.com/gpu=one']), notAllowed);
  deepEqual(await allowed(['example.com/gpu=one'], ['device=example.com/gpu=one']), ['example.com/gpu=one']);
  deepEqual(await allowed(['example.com/gpu=free'], []), ['example.com/gpu=free']);
});

test('SECURITY B06: a Containerfile names no device file of the host', async () => {
  deepEqual(await allowed(['/dev/kmsg'], ['device']), []);
  await rejects(allowed(['/dev/kmsg,required'], ['device']), /not registered/);
});

test.run();
