import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import { digestOf } from '../../image/digest.ts';
import { seedImage, startTestRegistry, type TestRegistry } from '../support/registry.ts';

const home = mkdtempSync(join(tmpdir(), 'slipway-killed-'));
process.on('exit', () => rmSync(home, { recursive: true, force: true }));

const LAYER = randomBytes(20_000_000);
const CUT = 12_000_000;
const isLayer = ({ headers }: IncomingMessage) => headers['content-length'] === String(LAYER.length);

/** `skopeo copy` from one registry to another; killed as soon as `killWhen` holds. */
function copy(from: TestRegistry, to: TestRegistry, killWhen?: () => boolean): Promise<number | null> {
  const flags = [
    '--insecure-policy',
    '--preserve-digests',
    '--src-tls-verify=false',
    '--dest-tls-verify=false',
  ];
  const child = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      'bin/skopeo.ts',
      'copy',
      ...flags,
      `docker://${from.address}/x/y:t`,
      `docker://${to.address}/z:t`,
    ],
    { stdio: 'ignore', env: { ...process.env, HOME: home, XDG_CACHE_HOME: join(home, 'cache') } },
  );
  const timer = setInterval(() => {
    if (killWhen?.()) child.kill('SIGKILL');
  }, 20);
  return new Promise((resolve) =>
    child.once('close', (code) => {
      clearInterval(timer);
      resolve(code);
    }),
  );
}

test('a copy that SIGKILL ended moves only the missing bytes when it is run again', async () => {
  await using from = await startTestRegistry();
  await using to = await startTestRegistry();
  const { digest } = await seedImage(from, 'x/y', 't', [LAYER, 'small']);
  to.faults.add(
    { method: 'PUT', url: 'uploads', cutRequestAt: CUT, times: 1, when: isLayer },
    { method: 'GET', url: 'uploads/', delayMs: 60_000, times: 1 },
  );
  assert.equal(await copy(from, to, () => to.faults.requests(/^GET .*uploads/).length > 0), null);
  assert.equal((await fetch(`${to.url}/v2/z/manifests/t`)).status, 404);
  for (const registry of [from, to]) registry.faults.clear();
  assert.equal(await copy(from, to), 0);
  for (const { headers, url } of from.faults.log)
    if (url.includes(digestOf(LAYER))) {
      const start = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1]);
      assert.ok(start > CUT - 2_500_000, `${headers.range} of the source`);
    }
  const moved = to.faults.log
    .filter(({ method }) => method === 'PATCH')
    .map(({ headers }) => headers['content-range']);
  assert.deepEqual(moved, [`${CUT}-${LAYER.length - 1}`]);
  const copied = await fetch(`${to.url}/v2/z/manifests/t`);
  assert.equal(digestOf(Buffer.from(await copied.arrayBuffer())), digest);
});

test.run();
