import { equal } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { openBuildPlace } from '../../support/build-place.ts';
import { makeRootfs } from '../../support/rootfs.ts';

const test = suite('cache mounts that wait');
const base = mkdtempSync(join(tmpdir(), 'cache-mounts-test-'));
process.on('exit', () => rmSync(base, { recursive: true, force: true }));
const isRoot = process.geteuid?.() === 0;
const onlyRoot = isRoot ? test : test.skip;
if (!isRoot) console.log('SKIP cache mounts that wait: running RUN needs root here');

const context = join(base, 'context');
mkdirSync(context);
if (isRoot) makeRootfs(join(context, 'rootfs'), { commands: ['cat', 'sh'] });
const place = openBuildPlace(base, context);
const cache = (id: string, target: string, sharing = 'locked') =>
  `--mount=type=cache,id=${id},target=${target},sharing=${sharing}`;
const options = () => ({ useCache: false, jobs: 4 });

onlyRoot('one cache twice in a RUN is one directory, whatever is waited for', async () => {
  for (const sharing of ['locked', 'private', 'shared']) {
    const mounts = `${cache(`twice-${sharing}`, '/a', sharing)} ${cache(`twice-${sharing}`, '/b', sharing)}`;
    const { result } = await place.build(
      `FROM scratch\nCOPY rootfs /\nRUN ${mounts} echo x >/a/f && cat /b/f\n`,
      options(),
    );
    equal(result.imageId.length, 64);
  }
});

onlyRoot('stages that name the same caches in another order do not wait for each other', async () => {
  const run = (first: string, second: string) =>
    `RUN ${cache(first, '/one')} ${cache(second, '/two')} echo x >/one/f; echo y >/two/f\n`;
  const stages = ['a', 'b', 'c', 'd'].map(
    (name, at) =>
      `FROM base AS ${name}\n${(at % 2 === 0 ? run('x', 'y') : run('y', 'x')).repeat(2)}RUN echo >/${name}\n`,
  );
  const copies = ['a', 'b', 'c', 'd'].map((name) => `COPY --from=${name} /${name} /\n`);
  const text = `FROM scratch AS base\nCOPY rootfs /\n${stages.join('')}FROM scratch\n${copies.join('')}`;
  const { result } = await place.build(text, options());
  equal(result.imageId.length, 64);
});

test.run();
