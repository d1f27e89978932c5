// What a base image may try: SECURITY B22, B24, B27, B28, B33, and names with a meaning in JavaScript.
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { SlipwayError } from '../../../errors.ts';
import { digestOf } from '../../../image/digest.ts';
import { type BuildPlace, openBuildPlace } from '../../support/build-place.ts';
import { makeRootfs } from '../../support/rootfs.ts';
import { tarOf } from '../../support/tar.ts';

const test = suite('SECURITY: base images');
const isRoot = process.geteuid?.() === 0;
const place = mkdtempSync(join(tmpdir(), 'slipway-security-image-'));
const context = join(place, 'context');
const victim = join(place, 'victim');
const BASE = 'FROM scratch\nCOPY rootfs /\n';
let builds: BuildPlace;

test.before(() => {
  mkdirSync(victim);
  mkdirSync(join(context, 'rootfs'), { recursive: true });
  writeFileSync(join(context, 'f'), 'one\n');
  if (isRoot) makeRootfs(join(context, 'rootfs'));
  mkdirSync(join(place, 'store'));
  builds = openBuildPlace(join(place, 'store'), context);
});
test.after(() => rmSync(place, { recursive: true, force: true }));

function asRoot(name: string, action: () => Promise<void>): void {
  test(name, async () => {
    if (isRoot) await action();
    else console.log(`SKIP ${name}: RUN needs root here`);
  });
}

asRoot('SECURITY B22: a VOLUME that leads out of the root touches nothing of the host', async () => {
  writeFileSync(join(victim, 'secret'), 'HOST SECRET');
  symlinkSync(victim, join(context, 'rootfs/v'));
  symlinkSync('/', join(context, 'rootfs/slash'));
  for (const path of ['/v', `/../..${victim}`, `/slash${victim}`, '/v/../v/new'])
    for (const compatVolumes of [false, true]) {
      const { text } = await builds.build(
        `${BASE}VOLUME ${path}\nRUN ls ${path}; touch ${path}/MARK; cat ${path}/secret || true\n`,
        { compatVolumes, useCache: false, layers: false },
      );
      ok(!text().includes('HOST SECRET'), path);
    }
  deepEqual(readdirSync(victim), ['secret']);
  rmSync(join(victim, 'secret'));
});

asRoot("SECURITY B24: ADD unpacks with the host's programs, not with those of the image", async () => {
  const canary = join(victim, 'canary');
  const bin = join(context, 'rootfs/bin');
  const trojans = ['xz', 'unxz', 'bzip2', 'gzip', 'unpigz', 'tar', 'git', 'zstd'];
  for (const name of trojans) {
    rmSync(join(bin, name), { force: true });
    writeFileSync(join(bin, name), `#!/bin/sh\n/bin/touch ${canary} /canary\n`);
    chmodSync(join(bin, name), 0o755);
  }
  writeFileSync(join(context, 'a.tar'), tarOf([{ name: 'inside', body: 'x' }]));
  const made = ['xz', 'bzip2', 'gzip'].flatMap((program) => {
    try {
      execFileSync(program, ['-kf', join(context, 'a.tar')], { stdio: 'ignore' });
    } catch {
      return [];
    }
    return [`a.tar.${{ xz: 'xz', bzip2: 'bz2', gzip: 'gz' }[program]}`];
  });
  ok(made.length > 0, 'no compressor is installed');
  for (const name of made)
    await builds.build(`${BASE}ENV PATH=/bin\nADD ${name} /d/\nRUN test ! -e /canary && cat /d/inside\n`);
  equal(existsSync(canary), false);
  for (const name of trojans) rmSync(join(bin, name));
});

asRoot('SECURITY B27: proxies of the host are in a history only where an ARG names them', async () => {
  const options = { arguments: new Map([['http_proxy', 'http://u:PASSWORD@proxy.example.com']]) };
  const plain = await builds.build(`${BASE}RUN true\n`, options);
  const named = await builds.build(`${BASE}ARG http_proxy\nRUN true\n`, options);
  const historyOf = (id: string) =>
    builds.withStore(async (store) => {
      const image = await store.images.get(id);
      const key = image?.bigDataNames.find((name) => name === `sha256:${id}`) ?? '';
      return Buffer.from((await store.images.bigData(id, key)) ?? []).toString();
    });
  equal((await historyOf(plain.result.imageId)).includes('proxy.example.com'), false);
  equal((await historyOf(named.result.imageId)).includes('proxy.example.com'), true);
});

test('SECURITY B28: an image whose history looks like a step, but was not built here, is no cached step', async () => {
  const text = 'FROM scratch\nLABEL step=one\nENV A=1\n';
  const first = await builds.build(text);
  const again = await builds.build(text);
  equal(again.result.imageId, first.result.imageId);
  ok(again.text().includes('Using cache'));
  await builds.withStore(async (store) => {
    for (const { id, digest, topLayer, created, bigDataNames } of await store.images.list()) {
      const bigData = [];
      for (const key of bigDataNames)
        if (key.startsWith('sha256:') || key.startsWith('manifest'))
          bigData.push({ key, data: (await store.images.bigData(id, key)) ?? Buffer.alloc(0) });
      await store.images.delete(id);
      await store.images.create({ id, digest, topLayer, created, bigData });
    }
  });
  const foreign = await builds.build(text);
  equal(foreign.text().includes('Using cache'), false);
  ok((await builds.build(text)).text().includes('Using cache'), 'what was built again counts again');
});

test('SECURITY B33: an archive whose configuration or layers are paths upwards reads nothing else', async () => {
  const layer = tarOf([{ name: 'f', body: 'x' }]);
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [digestOf(layer)] },
  });
  const good = { Config: 'config.json', RepoTags: ['x:1'], Layers: ['layer.tar'] };
  for (const manifest of [
    { ...good, Config: '../victim/config.json' },
    { ...good, Config: `${victim}/config.json` },
    { ...good, Layers: ['../layer.tar'] },
    { ...good, Config: '' },
  ]) {
    const archive = tarOf([
      { name: 'manifest.json', body: JSON.stringify([manifest]) },
      { name: 'config.json', body: config },
      { name: 'layer.tar', body: layer },
    ]);
    writeFileSync(join(place, 'evil.tar'), archive);
    const read = builds.build(`FROM docker-archive:${join(place, 'evil.tar')}\nLABEL a=b\n`);
    if (manifest.Config === good.Config)
      await read.catch((error) => ok(error instanceof SlipwayError, String(error)));
    else await rejects(read, SlipwayError);
  }
  deepEqual(readdirSync(victim), []);
});

test('labels, variables and annotations may be called as JavaScript calls its own', async () => {
  const { result } = await builds.build(
    'FROM scratch\nLABEL __proto__=a constructor=b toString=c\nENV __proto__=d\nARG __proto__=e\nVOLUME __proto__\nEXPOSE 1/__proto__\n',
    { annotations: ['__proto__=f'] },
  );
  const config = await builds.withStore(async (store) =>
    Buffer.from((await store.images.bigData(result.imageId, `sha256:${result.imageId}`)) ?? []).toString(),
  );
  for (const expected of ['"__proto__":"a"', '"constructor":"b"', '"toString":"c"', '"__proto__=d"'])
    ok(config.includes(expected), `${expected} in ${config}`);
  equal(({} as Record<string, unknown>).a, undefined);
});

test.run();
