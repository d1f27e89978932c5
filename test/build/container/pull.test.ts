import { equal, rejects } from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import type { BuildSurroundings } from '../../../build/container/contract.ts';
import { pullImage } from '../../../build/container/pull.ts';
import { type Platform, platformOf } from '../../../image/platform.ts';
import { openBuildPlace } from '../../support/build-place.ts';
import { seedImage, startTestRegistry } from '../../support/registry.ts';
import { tarOf } from '../../support/tar.ts';

const PLAIN = 'application/vnd.oci.image.layer.v1.tar';
const test = suite('pulling for builds');
const base = mkdtempSync(join(tmpdir(), 'pull-test-'));
test.after(() => rmSync(base, { recursive: true, force: true }));

test('name:tag@digest is pulled by its digest, wherever the tag leads', async () => {
  await using registry = await startTestRegistry();
  const pinned = await seedImage(registry, 'app', '1', [tarOf([{ name: 'one' }])], PLAIN);
  const other = await seedImage(registry, 'app', '2', [tarOf([{ name: 'two' }])], PLAIN);
  await openBuildPlace(base, base).withStore(async (store) => {
    const surroundings = {
      store,
      docker: { environment: {}, tlsVerify: false },
      policy: { admit: async () => undefined },
      temporaryDirectory: base,
      workingDirectory: base,
      platform: platformOf(process.platform, process.arch),
      environment: {},
      now: () => new Date(),
    } as unknown as BuildSurroundings;
    const pull = (name: string) => pullImage(surroundings, `${registry.address}/${name}`, { retries: 0 });
    for (const tag of ['1', '2', 'nowhere'])
      equal((await pull(`app:${tag}@${pinned.digest}`)).digest, pinned.digest, tag);
    equal((await pull('app:2')).digest, other.digest);
    await rejects(pull(`app:1@sha256:${'0'.repeat(64)}`), { code: 'pull-failed' });
    await rejects(pullImage(surroundings, `docker://${registry.address}/app:1@${pinned.digest}`), {
      code: 'bad-reference',
    });
  });
});

test('a local image of another platform than the one asked for is not used', async () => {
  await using registry = await startTestRegistry();
  await seedImage(registry, 'amd', '1', [tarOf([{ name: 'one' }])], PLAIN);
  const name = `${registry.address}/amd:1`;
  const host = { os: 'linux', architecture: 'amd64' };
  await openBuildPlace(base, base).withStore(async (store) => {
    const surroundings = (platform: Platform, environment = {}) =>
      ({
        store,
        docker: { environment, tlsVerify: false },
        policy: { admit: async () => undefined },
        temporaryDirectory: base,
        workingDirectory: base,
        platform,
        environment,
        now: () => new Date(),
      }) as unknown as BuildSurroundings;
    await pullImage(surroundings(host), name, { retries: 0 });
    const asked = { pullPolicy: 'never', customPlatform: true, hostPlatform: host } as const;
    await pullImage(surroundings(host), name, asked);
    const arm = surroundings({ os: 'linux', architecture: 'arm64' });
    await rejects(pullImage(arm, name, asked), { code: 'pull-failed' });
  });
});

test.run();
