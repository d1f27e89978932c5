import { deepEqual, equal, match } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import type { BuildEvent } from '../../../build/exec/events.ts';
import { openBuildPlace } from '../../support/build-place.ts';
import { startTestRegistry } from '../../support/registry.ts';
import { makeRootfs } from '../../support/rootfs.ts';

const test = suite('steps kept in a registry');
const base = mkdtempSync(join(tmpdir(), 'remote-cache-'));
process.on('exit', () => rmSync(base, { recursive: true, force: true }));
const isRoot = process.geteuid?.() === 0;
const onlyRoot = isRoot ? test : test.skip;
if (!isRoot) console.log('SKIP steps kept in a registry: running RUN needs root here');

const context = join(base, 'context');
mkdirSync(context);
writeFileSync(join(context, 'f'), 'one');
if (isRoot) makeRootfs(join(context, 'rootfs'), { commands: ['sh', 'cat'] });

/** Another machine: a store of its own. */
function machine(name: string) {
  const directory = join(base, name);
  mkdirSync(directory);
  return openBuildPlace(directory, context);
}

const FILE = `FROM scratch AS base
COPY rootfs/ /
FROM base
RUN echo ran > /r
COPY f /f
ENV A=1`;

const outcomes = (events: readonly BuildEvent[]) =>
  events.flatMap((event) =>
    event.type === 'step-cached' ? ['cached'] : event.type === 'step-done' && event.step > 1 ? ['built'] : [],
  );

onlyRoot(
  'a machine with an empty store takes every step from the registry, and pushes only what is new',
  async () => {
    await using registry = await startTestRegistry();
    const repository = `${registry.address}/team/cache`;
    const first = await machine('first').build(FILE, { cacheTo: [repository] });
    match(first.text(), /--> Pushing cache \[/);
    const other = machine('second');
    const events: BuildEvent[] = [];
    const second = await other.build(FILE, {
      cacheFrom: [repository],
      cacheTo: [repository],
      onEvent: (event) => events.push(event),
    });
    equal(second.result.imageId, first.result.imageId);
    deepEqual(outcomes(events), ['cached', 'cached', 'cached', 'cached']);
    equal(second.text().match(/--> Cache pulled from remote /g)?.length, 4);
    equal(second.text().includes('Pushing cache'), false);
    writeFileSync(join(context, 'f'), 'two');
    const more: BuildEvent[] = [];
    const third = await machine('third').build(FILE, {
      cacheFrom: [repository],
      cacheTo: [repository],
      onEvent: (event) => more.push(event),
    });
    deepEqual(outcomes(more), ['cached', 'cached', 'built', 'built']);
    equal(third.text().match(/--> Pushing cache /g)?.length, 2);
    const fourth = await machine('fourth').build(FILE, { cacheFrom: [repository] });
    equal(fourth.result.imageId, third.result.imageId);
  },
);

onlyRoot('a registry that has nothing, or is not there, costs the cache alone', async () => {
  await using registry = await startTestRegistry();
  const place = machine('alone');
  const cacheFrom = [`${registry.address}/empty`, '127.0.0.1:1/nobody'];
  const { text } = await place.build(FILE, { cacheFrom, retries: 0, retryDelayMs: 1 });
  equal(text().includes('Cache pulled'), false);
});

onlyRoot('what a registry has under the key of a step without being the step does not stay', async () => {
  await using registry = await startTestRegistry();
  const repository = `${registry.address}/team/forged`;
  const { text } = await machine('forger').build(FILE, { cacheTo: [repository] });
  const keys = [...text().matchAll(/--> Pushing cache \[.*\]:(\w+)/g)].map(([, key]) => key);
  const manifests = `http://${registry.address}/v2/team/forged/manifests`;
  const type = 'application/vnd.oci.image.manifest.v1+json';
  const last = await fetch(`${manifests}/${keys.at(-1)}`, { headers: { accept: type } });
  const body = await last.arrayBuffer();
  for (const key of keys) {
    const put = await fetch(`${manifests}/${key}`, {
      method: 'PUT',
      headers: { 'content-type': type },
      body,
    });
    equal(put.status, 201);
  }
  const place = machine('victim');
  const events: BuildEvent[] = [];
  await place.build(FILE, { cacheFrom: [repository], onEvent: (event) => events.push(event) });
  deepEqual(outcomes(events), ['built', 'built', 'built', 'built']);
  const names = await place.withStore(async (store) =>
    (await store.images.list()).flatMap((image) => image.names),
  );
  deepEqual(names, []);
});

test.run();
