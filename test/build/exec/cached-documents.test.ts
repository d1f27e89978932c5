import { deepEqual, equal, notEqual } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { readStoredConfig, readStoredImage } from '../../../build/container/stored-image.ts';
import type { BuildOptions } from '../../../build/exec/options.ts';
import { openBuildPlace } from '../../support/build-place.ts';
import { makeRootfs } from '../../support/rootfs.ts';

const test = suite('what a cached image says');
const base = mkdtempSync(join(tmpdir(), 'cached-documents-'));
process.on('exit', () => rmSync(base, { recursive: true, force: true }));
const isRoot = process.geteuid?.() === 0;
const onlyRoot = isRoot ? test : test.skip;
if (!isRoot) console.log('SKIP what a cached image says: overlay storage and RUN need root here');

const context = join(base, 'context');
mkdirSync(context);
writeFileSync(join(context, 'f'), 'f');
if (isRoot) makeRootfs(join(context, 'rootfs'), { commands: ['cat', 'sh'] });
const place = openBuildPlace(base, context);

async function build(text: string, options: Partial<BuildOptions> = {}) {
  const built = await place.build(text, options);
  return place.withStore(async (store) => {
    const record = await store.images.get(built.result.imageId);
    if (!record) throw new Error('no image');
    const image = await readStoredImage(store, record);
    const { config } = await readStoredConfig(store, image);
    const annotations = image.manifest.kind === 'image' ? (image.manifest.annotations ?? {}) : {};
    const layer = record.topLayer ?? '';
    const read = async (path: string) =>
      readFileSync(join(await store.layers.diffDirectory(layer), path), 'utf8');
    const cached = built.text().match(/Using cache/g)?.length ?? 0;
    return {
      id: record.id,
      config,
      annotations,
      layer,
      cached,
      file: layer ? await read('out').catch(() => '') : '',
    };
  });
}

const A = (value: string) => ({ arguments: new Map([['A', value]]) });

onlyRoot('a COPY on another configuration keeps its layer and has that configuration', async () => {
  const text = 'FROM scratch\nARG A\nENV X=$A\nCOPY f /copied/\nCMD ["x"]';
  for (const dates of [{}, { timestampSeconds: 7 }]) {
    const first = await build(text, { ...A('1'), ...dates });
    const second = await build(text, { ...A('2'), ...dates });
    equal(second.config.config?.Env?.includes('X=2'), true);
    equal(second.layer, first.layer);
    equal((await build(text, { ...A('1'), ...dates })).id, first.id);
    const fresh = await build(text, { ...A('2'), ...dates, useCache: false });
    if (dates.timestampSeconds) equal(fresh.id, second.id);
  }
});

onlyRoot(
  'a RUN sees the environment of its base, also where the histories of two bases are the same',
  async () => {
    const dates = { timestampSeconds: 7 };
    const text =
      'FROM scratch AS one\nARG A\nENV X=$A\nCOPY rootfs /\nFROM one\nUSER 0\nRUN echo "$X" > /out';
    equal((await build(text, { ...A('1'), ...dates })).file, '1\n');
    equal((await build(text, { ...A('2'), ...dates })).file, '2\n');
    const again = await build(text, { ...A('1'), ...dates });
    equal(again.file, '1\n');
    equal(again.cached, 5);
  },
);

onlyRoot('flags that only change what is written about an image execute no step again', async () => {
  const text = 'FROM scratch\nCOPY rootfs /\nRUN echo "$(cat /proc/uptime)" > /out';
  const first = await build(text);
  for (const [options, check] of [
    [
      { identityLabel: false },
      (c: Awaited<ReturnType<typeof build>>) => c.config.config?.Labels === undefined,
    ],
    [{ osVersion: '7' }, (c: Awaited<ReturnType<typeof build>>) => c.config['os.version'] === '7'],
    [
      { createdAnnotation: false },
      (c: Awaited<ReturnType<typeof build>>) => !('org.opencontainers.image.created' in c.annotations),
    ],
    [
      { layerLabels: ['l=1'], output: 'localhost/labelled' },
      (c: Awaited<ReturnType<typeof build>>) => !('l' in (c.config.config?.Labels ?? {})),
    ],
  ] as const) {
    const changed = await build(text, options);
    equal(check(changed), true, JSON.stringify(options));
    equal(changed.layer, first.layer);
    equal(changed.cached, 2);
  }
  equal((await build(text)).id, first.id);
});

test('the order of labels makes no image another one', async () => {
  const text = 'FROM scratch\nLABEL z=1 a=1\nUSER 1';
  const first = await build(text);
  const again = await build(text, { platformGiven: true });
  deepEqual([again.id, again.cached], [first.id, 2]);
});

onlyRoot('a date that is asked for stands in images of an earlier build without one', async () => {
  const text = 'FROM scratch\nCOPY f /dated\nCMD ["dated"]';
  await build(text);
  const pinned = { sourceDateEpochSeconds: 100 };
  const cached = await build(text, pinned);
  const fresh = await build(text, { ...pinned, useCache: false });
  equal(cached.id, fresh.id);
});

onlyRoot('an image that got a name meanwhile is told in no history', async () => {
  const dates = { timestampSeconds: 9 };
  await build('FROM scratch\nCOPY f /named', { ...dates, output: 'localhost/named' });
  const longer = 'FROM scratch\nCOPY f /named\nCOPY f /more';
  const cached = await build(longer, dates);
  equal(cached.cached, 1);
  equal((await build(longer, { ...dates, useCache: false })).id, cached.id);
});

onlyRoot('empty lines of a heredoc, and where a cache is taken from, are inputs of a RUN', async () => {
  const heredoc = (body: string) => `FROM scratch\nCOPY rootfs /\nRUN <<EOF cat > /out\n${body}EOF`;
  equal((await build(heredoc('a\n'))).file, 'a\n');
  equal((await build(heredoc('\na\n\n'))).file, '\na\n\n');
  const from = (value: string) =>
    `FROM scratch AS seed\nCOPY <<EOF /s\n${value}\nEOF\nFROM scratch\nCOPY rootfs /\nRUN --mount=type=cache,from=seed,target=/c cat /c/s > /out`;
  await build(from('one'));
  await build(from('two'), { target: 'seed' });
  equal((await build(from('two'))).file, 'two\n');
});

onlyRoot('a bind mount counts by names, attributes and bytes, and not by times', async () => {
  const text = 'FROM scratch\nCOPY rootfs /\nRUN --mount=type=bind,source=bound,target=/b cat /b/a > /out';
  mkdirSync(join(context, 'bound'));
  writeFileSync(join(context, 'bound/a'), 'one');
  writeFileSync(Buffer.concat([Buffer.from(join(context, 'bound/')), Buffer.from([0xff])]), 'x');
  const first = await build(text);
  equal(first.file, 'one');
  utimesSync(join(context, 'bound/a'), 1, 1);
  equal((await build(text)).id, first.id);
  writeFileSync(join(context, 'bound/a'), 'two');
  utimesSync(join(context, 'bound/a'), 1, 1);
  const second = await build(text);
  equal(second.file, 'two');
  notEqual(second.id, first.id);
});

test.run();
