import { equal, ok, rejects } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { BuildError } from '../../../build/error.ts';
import { openBuildPlace } from '../../support/build-place.ts';

const test = suite('files that fail by their checks');
const base = mkdtempSync(join(tmpdir(), 'check-file-'));
process.on('exit', () => rmSync(base, { recursive: true, force: true }));
const context = join(base, 'context');
mkdirSync(context);
const place = openBuildPlace(base, context);
const CHECK = (value: string) => ({ arguments: new Map([['BUILDKIT_DOCKERFILE_CHECK', value]]) });
const BAD = 'FROM scratch as X\nENV A 1\nENV B 1';

test('a finding fails the build before anything is built', async () => {
  for (const [text, options] of [
    [`# check=error=true\n${BAD}`, {}],
    [BAD, CHECK('error=true')],
  ] as const)
    await rejects(place.build(text, options), (error: unknown) => {
      ok(error instanceof BuildError);
      equal(error.code, 'check-failed');
      equal(
        error.message,
        'lint violation found for rules: StageNameCasing, FromAsCasing, LegacyKeyValueFormat',
      );
      return true;
    });
  equal(await place.withStore(async (store) => (await store.images.list()).length), 0);
});

test('nothing else about checks does', async () => {
  for (const [text, options] of [
    [BAD, {}],
    [`# check=skip=StageNameCasing\n${BAD}`, {}],
    [`# check=error=true;skip=all\n${BAD}`, {}],
    [`# check=error=true\n${BAD}`, CHECK('error=false')],
    ['# check=error=true\nFROM scratch\nENV A=1', {}],
  ] as const)
    ok((await place.build(text, options)).result.imageId);
});

test('an option that is wrong fails the build', async () => {
  await rejects(
    place.build(`# check=error=perhaps\n${BAD}`),
    (error: unknown) => error instanceof BuildError && error.code === 'bad-option',
  );
});

test.run();
