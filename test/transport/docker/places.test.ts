// Where registries.conf sends a name: mirrors, other locations, blocked ones; for images, digests and tag lists alike.
import { deepEqual, equal, rejects } from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { digestInPlaces } from '../../../transport/docker/places.ts';
import { parse } from '../../../transport/docker/reference.ts';
import { listRepositoryTags } from '../../../transport/docker/tags.ts';
import { dockerContext } from '../../support/docker-context.ts';
import { seedImage, startTestRegistry, type TestRegistry } from '../../support/registry.ts';

const test = suite<{ directory: string; main: TestRegistry; mirror: TestRegistry }>('places of names');
test.before.each(async (state) => {
  state.directory = mkdtempSync(join(tmpdir(), 'places-'));
  [state.main, state.mirror] = await Promise.all([startTestRegistry(), startTestRegistry()]);
});
test.after.each(async ({ directory, main, mirror }) => {
  await Promise.all([main.close(), mirror.close()]);
  rmSync(directory, { recursive: true, force: true });
});

const DEAD = '[[registry.mirror]]\nlocation = "127.0.0.1:1/dead"\ninsecure = true\n';

function contextOf(directory: string, conf: string) {
  const registriesFile = join(directory, 'registries.conf');
  writeFileSync(registriesFile, conf);
  return dockerContext({ registriesFile, requestRetries: 0 });
}

const registry = (prefix: string, location: string, more = '') =>
  `[[registry]]\nprefix = "${prefix}"\nlocation = "${location}"\ninsecure = true\n${more}`;
const mirrorAt = (location: string, more = '') =>
  `[[registry.mirror]]\nlocation = "${location}"\ninsecure = true\n${more}`;

test('a name that stands for another location is read, listed and compared there', async (state) => {
  const { digest } = await seedImage(state.main, 'team/app', '1');
  const context = contextOf(state.directory, registry('name.example', `${state.main.address}/team`));
  await using source = await parse('//name.example/app:1').openSource(context);
  equal(JSON.parse(Buffer.from((await source.getManifest()).bytes).toString()).layers.length, 2);
  const { named } = parse('//name.example/app:1');
  equal(await digestInPlaces(named, context), digest);
  deepEqual(await listRepositoryTags(named, context), ['1']);
});

test('mirrors come first for images, the registry for tags; dead ones are gone past', async (state) => {
  const { main, mirror, directory } = state;
  await seedImage(main, 'app', '1', ['of the registry']);
  await seedImage(main, 'app', '2');
  const copied = await seedImage(mirror, 'app', '1', ['of the mirror']);
  const conf = registry('name.example', main.address, DEAD + mirrorAt(mirror.address));
  const context = contextOf(directory, conf);
  const { named } = parse('//name.example/app:1');
  equal(await digestInPlaces(named, context), copied.digest);
  deepEqual((await listRepositoryTags(named, context)).toSorted(), ['1', '2']);
  await using missing = await parse('//name.example/app:2').openSource(context);
  equal((await missing.getManifest()).mediaType, 'application/vnd.oci.image.manifest.v1+json');
  equal(await digestInPlaces(parse('//name.example/app:3').named, context), undefined);
});

test('when the registry does not answer, tags are those of the mirror', async (state) => {
  await seedImage(state.mirror, 'app', '1');
  const conf = registry('name.example', '127.0.0.1:1', mirrorAt(state.mirror.address));
  const context = contextOf(state.directory, conf);
  deepEqual(await listRepositoryTags(parse('//name.example/app').named, context), ['1']);
  await rejects(listRepositoryTags(parse('//name.example/none').named, context), { code: 'network' });
});

test('a mirror for digests alone is not asked for tags', async (state) => {
  const { main, mirror, directory } = state;
  const { digest } = await seedImage(main, 'app', '1');
  await seedImage(mirror, 'app', '1');
  const only = mirrorAt(mirror.address, 'pull-from-mirror = "digest-only"\n');
  const context = contextOf(directory, registry('name.example', main.address, only));
  mirror.faults.clear();
  await using byTag = await parse('//name.example/app:1').openSource(context);
  equal((await byTag.getManifest()).bytes.length > 0, true);
  deepEqual(mirror.faults.requests(), []);
  await using byDigest = await parse(`//name.example/app@${digest}`).openSource(context);
  equal((await byDigest.getManifest()).bytes.length > 0, true);
  equal(mirror.faults.requests(/manifests/).length > 0, true);
});

test('what is blocked is asked nowhere, also where its location is not', async (state) => {
  const context = contextOf(
    state.directory,
    registry('name.example', state.main.address, 'blocked = true\n'),
  );
  const { named } = parse('//name.example/app:1');
  state.main.faults.clear();
  await rejects(parse('//name.example/app:1').openSource(context), { code: 'blocked' });
  await rejects(listRepositoryTags(named, context), { code: 'blocked' });
  await rejects(digestInPlaces(named, context), { code: 'blocked' });
  deepEqual(state.main.faults.requests(), []);
});

test.run();
