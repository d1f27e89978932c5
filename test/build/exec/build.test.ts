import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { suite } from 'uvu';
import { cacheKey } from '../../../build/caches/place.ts';
import { BuildError } from '../../../build/error.ts';
import { buildImage } from '../../../build/exec/build.ts';
import { readIgnoreFile } from '../../../build/exec/ignore-file.ts';
import { parseMountSpec } from '../../../build/exec/mounts/spec.ts';
import type { BuildOptions } from '../../../build/exec/options.ts';
import { parseOutput } from '../../../build/exec/output.ts';
import { applySourcePolicy } from '../../../build/exec/source-policy.ts';
import { readStorageConfig, withStorageFlags } from '../../../config/storage.ts';
import { platformOf } from '../../../image/platform.ts';
import { openStore } from '../../../store/storage/open.ts';
import { makeRootfs } from '../../support/rootfs.ts';

const test = suite('buildImage');
const base = mkdtempSync(join(tmpdir(), 'build-test-'));
process.on('exit', () => rmSync(base, { recursive: true, force: true }));
const isRoot = process.geteuid?.() === 0;
const onlyRoot = isRoot ? test : test.skip;
if (!isRoot) console.log('SKIP buildImage: running RUN and keeping owners needs root here');

const platform = platformOf(process.platform, process.arch);
const context = join(base, 'context');
mkdirSync(context);
writeFileSync(join(context, 'f'), 'hello\n');
if (isRoot)
  makeRootfs(join(context, 'rootfs'), {
    commands: ['cat', 'ls', 'touch', 'mkdir', 'ln', 'env', 'sh', 'id', 'stat'],
  });

async function build(text: string, options: Partial<BuildOptions> = {}) {
  const config = withStorageFlags(await readStorageConfig({ environment: {} }), {
    root: join(base, 'root'),
    runRoot: join(base, 'run'),
    driver: isRoot ? 'overlay' : 'vfs',
  });
  await using store = await openStore(config);
  const chunks: Buffer[] = [];
  const out = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(Buffer.from(chunk));
      done();
    },
  });
  const run = {
    isolation: 'chroot',
    network: { mode: 'host' },
    capabilitiesAdd: [],
    capabilitiesDrop: [],
  } as const;
  const surroundings = {
    store,
    docker: { environment: {} },
    policy: { admit: async () => undefined },
    temporaryDirectory: base,
    workingDirectory: base,
    platform,
    environment: {},
    now: () => new Date(),
  };
  const work = buildImage(surroundings, {
    contextDirectory: context,
    files: [{ name: 'Containerfile', text }],
    arguments: new Map(),
    target: '',
    contexts: new Map(),
    platform,
    buildPlatform: platform,
    platformGiven: false,
    layers: true,
    useCache: true,
    format: 'oci',
    output: '',
    additionalTags: [],
    builderVersion: '0',
    pullPolicy: 'missing',
    run: { ...run, hostEnvironment: { SENTINEL: 'host-value' } },
    stdout: out,
    stderr: out,
    cacheDirectory: join(base, 'cache'),
    ...options,
  });
  try {
    return { result: await work, text: () => Buffer.concat(chunks).toString() };
  } catch (error) {
    throw Object.assign(error as Error, { output: Buffer.concat(chunks).toString() });
  } finally {
    deepEqual(await store.containers.list(), [], 'containers are left');
    const mounts = readFileSync('/proc/self/mounts', 'utf8');
    equal(mounts.includes(`${base}/slipway-`), false, 'mounts are left');
  }
}

/** The runtime part of the config of an image that was built. */
async function configOf({ imageId }: { readonly imageId: string }) {
  const config = withStorageFlags(await readStorageConfig({ environment: {} }), {
    root: join(base, 'root'),
    runRoot: join(base, 'run'),
    driver: isRoot ? 'overlay' : 'vfs',
  });
  await using store = await openStore(config);
  const bytes = await store.images.bigData(imageId, `sha256:${imageId}`);
  return JSON.parse(Buffer.from(bytes ?? []).toString()).config;
}

const BASE = 'FROM scratch AS base\nCOPY rootfs/ /\n';

onlyRoot('runs, copies and finds every step again', async () => {
  const text = `${BASE}FROM base\nARG A=1\nRUN echo ran-$A\nCOPY f /f\nENV X=$A\nRUN cat /f`;
  const first = await build(text);
  match(first.text(), /ran-1\n[\s\S]*hello\n/);
  const second = await build(text);
  equal(second.result.imageId, first.result.imageId);
  equal(second.text().match(/--> Using cache/g)?.length, 6);
  equal(second.text().includes('\nran-1'), false);
});

onlyRoot('SECURITY B29: the cache follows contents, not times', async () => {
  const text = `${BASE}FROM base\nRUN --mount=type=bind,target=/c cat /c/g`;
  writeFileSync(join(context, 'g'), 'one\n');
  match((await build(text)).text(), /\none\n/);
  writeFileSync(join(context, 'g'), 'one\n');
  equal((await build(text)).text().match(/Using cache/g)?.length, 2);
  writeFileSync(join(context, 'g'), 'two\n');
  match((await build(text)).text(), /\ntwo\n/);
});

onlyRoot('SECURITY B14: writes into a mounted context reach neither it nor another build', async () => {
  const text = `${BASE}FROM base\nRUN --mount=type=bind,target=/c,rw echo x > /c/leak\nRUN --mount=type=bind,target=/c cat /c/leak`;
  await build(text, { useCache: false });
  equal(existsSync(join(context, 'leak')), false);
  await rejects(build(`${BASE}FROM base\nCOPY leak /`, { useCache: false }), /no such file/);
});

onlyRoot('SECURITY B01: a mount source that is a link to / stays inside its stage', async () => {
  writeFileSync(join(base, 'sentinel'), 'host');
  const text = `${BASE}RUN ln -s / /link\nFROM base AS two\nRUN --mount=type=bind,from=base,source=/link,target=/x,rw touch /x/MARK; ls /x${base} || echo confined`;
  const { text: output } = await build(text, { useCache: false });
  match(output(), /confined/);
  equal(existsSync('/MARK'), false);
});

onlyRoot('SECURITY B03: cache ids are no paths', async () => {
  const text = `${BASE}FROM base\nRUN --mount=type=cache,id=../../../../etc,target=/c ls /c; echo listed`;
  const { text: output } = await build(text, { useCache: false });
  equal(output().includes('passwd'), false);
  ok(existsSync(join(base, 'cache', cacheKey('../../../../etc', 0, 0))));
  for (const source of ['..', '../../etc', 'a/../../etc'])
    await rejects(
      build(`${BASE}FROM base\nRUN --mount=type=cache,source=${source},target=/c ls /c`, { useCache: false }),
      (error) => error instanceof BuildError && /leads out/.test(error.message),
      source,
    );
});

onlyRoot('SECURITY I10: a secret is for one RUN and nowhere else', async () => {
  const secrets = new Map([['s', { kind: 'file', value: join(base, 'secret') } as const]]);
  writeFileSync(join(base, 'secret'), 'PASSWORD');
  const text = `${BASE}FROM base\nRUN --mount=type=secret,id=s,env=S cat /run/secrets/s > /dev/null 2>&1; [ "$S" = PASSWORD ] && echo seen\nRUN ls /run/secrets 2>/dev/null; echo gone`;
  const { result, text: output } = await build(text, { useCache: false, secrets });
  match(output(), /seen/);
  equal(output().includes('PASSWORD\n'), false);
  equal(
    Buffer.from(result.manifest ?? [])
      .toString()
      .includes('PASSWORD'),
    false,
  );
});

onlyRoot('SECURITY B15: RUN sees nothing of the host environment', async () => {
  const { text: output } = await build(`${BASE}FROM base\nRUN env; cat /proc/*/environ 2>/dev/null; true`, {
    useCache: false,
  });
  equal(output().includes('host-value'), false);
});

onlyRoot('an empty RUN runs the shell without a command, which it refuses', async () => {
  await rejects(build(`${BASE}FROM base\nRUN`), { message: 'building at STEP "RUN": exit status 2' });
});

onlyRoot('a failing RUN gives its exit code and names file and line', async () => {
  await rejects(build(`${BASE}FROM base\nRUN exit 7`), (error) => {
    ok(error instanceof BuildError);
    equal(error.exitCode, 7);
    equal(error.facts.line, 4);
    match(error.message, /^building at STEP "RUN exit 7": exit status 7$/);
    return true;
  });
});

onlyRoot('a Docker image has a host name, and empty maps and lists where nothing is set', async () => {
  const { result } = await build('FROM scratch\nCMD', { format: 'docker', layers: false });
  const config = await configOf(result);
  match(config.Hostname, /^[0-9a-f]{12}$/);
  deepEqual([config.Volumes, config.Entrypoint, config.OnBuild], [{}, [], []]);
  deepEqual(config.Cmd, ['/bin/sh', '-c']);
});

onlyRoot('a working directory belongs to the user, a lone number being the group too', async () => {
  const lines = 'USER 7\nWORKDIR /a/../b/c\nRUN ls /; stat -c %u:%g /b/c';
  const { text: output } = await build(`${BASE}FROM base\n${lines}`, { useCache: false });
  match(output(), /^7:7$/m);
  equal(/^a$/m.test(output()), false);
});

onlyRoot(
  'a missing working directory belongs to the user of the first step, also where that touches no file',
  async () => {
    const lines = 'FROM base AS image\nUSER 7:8\nWORKDIR /w';
    await build(`${BASE}${lines}`, { layers: true, output: 'localhost/no-directory:1' });
    const { text: output } = await build(
      'FROM localhost/no-directory:1\nENV A=1\nUSER root\nRUN stat -c %u:%g /w',
      { useCache: false, layers: false },
    );
    match(output(), /^7:8$/m);
  },
);

const OWNERS: readonly [lines: string, owner: string][] = [
  ['WORKDIR /w\nUSER 7\nCOPY f .\nRUN stat -c %u:%g /w', '0:0'],
  ['USER 7:8\nWORKDIR /w\nUSER root\nCOPY f .\nRUN stat -c %u:%g /w', '7:8'],
  ['WORKDIR /w\nUSER 7\nRUN stat -c %u:%g /w', '7:7'],
];
for (const [lines, owner] of OWNERS)
  onlyRoot(
    `with layers, cached or not: the directory is of ${owner} after ${JSON.stringify(lines)}`,
    async () => {
      const before = lines.replace(/\n(?:COPY|RUN).*/gs, '');
      await build(`${BASE}FROM base\n${before}`, { layers: true });
      for (const useCache of [true, false]) {
        // The RUN has to be executed for its output.
        const text = `${BASE}FROM base\n${lines}; : ${useCache}`;
        const { text: output } = await build(text, { layers: true, useCache });
        match(output(), new RegExp(`^${owner}$`, 'm'));
      }
    },
  );

onlyRoot(
  'what a RUN writes to the context reaches later steps and stages, cached or not, and no disk',
  async () => {
    const write = 'RUN --mount=type=bind,target=/m,rw sh -c "echo changed >/m/f; touch /m/new"';
    const stages = `FROM base AS writer\n${write}\nCOPY f new /c/\nFROM base\nCOPY --from=writer /c/f /w\nCOPY f new /c/`;
    const text = (tail: string) => `${BASE}${stages}\nRUN cat /c/f /w; ls /c${tail}`;
    const { result: first } = await build(text(''), { layers: true });
    const { result: second, text: output } = await build(text(''), { layers: true });
    equal(second.imageId, first.imageId);
    equal(output().match(/Using cache/g)?.length, output().match(/ STEP (?!1\/)/g)?.length);
    const { text: again } = await build(text('; : again'), { layers: true });
    match(again(), /^changed\nchanged\nf\nnew$/m);
    equal(readFileSync(join(context, 'f'), 'utf8'), 'hello\n');
    equal(existsSync(join(context, 'new')), false);
  },
);

onlyRoot('an output directory that is a file is an error, and nothing is left', async () => {
  const file = { type: 'local', path: join(context, 'f') } as const;
  await rejects(
    build('FROM scratch\nCOPY f /', { outputs: [file] }),
    /failed while creating the destination path ".*f": mkdir .*f: not a directory$/,
  );
  const nowhere = { type: 'tar', path: join(base, 'nowhere/x.tar') } as const;
  await rejects(
    build('FROM scratch\nCOPY f /', { outputs: [nowhere] }),
    /failed while creating destination tar at ".*nowhere\/x.tar": open .*x.tar: no such file or directory/,
  );
});

onlyRoot('no .. of a source leads above the context', async () => {
  const { text: output } = await build(`${BASE}FROM base\nCOPY ../../f ../rootfs/../f /c/\nRUN cat /c/f`, {
    useCache: false,
  });
  match(output(), /^hello$/m);
});

onlyRoot('COPY --from a name that nothing has says so', async () => {
  await rejects(
    build('FROM scratch\nCOPY --from=nowhere f /'),
    /COPY --from=nowhere: no stage or image found/,
  );
});

const BAD_STEPS: readonly [name: string, text: string, said: RegExp][] = [
  [
    'missing file',
    'FROM scratch\nCOPY nothing /',
    /building at STEP "COPY nothing \/": .*no such file.* \(\S*:2\)$/,
  ],
  [
    'outside the context',
    'FROM scratch\nCOPY ../secret /',
    /possible escaping context directory error: "\/secret": no such file/,
  ],
  ['URL in COPY', 'FROM scratch\nCOPY https://localhost/x /', /can't be a URL for COPY/],
  [
    'SECURITY B02: propagation',
    'FROM scratch\nRUN --mount=type=bind,target=/x,bind-propagation=suid ["x"]',
    /invalid mount option/,
  ],
  ['SECURITY B06: security', 'FROM scratch\nRUN --security=insecure ["x"]', /not allowed/],
  ['SECURITY B06: network', 'FROM scratch\nRUN --network=fake ["x"]', /unsupported value/],
  ['SECURITY B07: mount type', 'FROM scratch\nRUN --mount=type= ["x"]', /invalid mount type/],
  [
    'a size',
    'FROM scratch\nRUN --mount=type=tmpfs,target=/x,size=abc ["x"]',
    /invalid value for size: abc \(\S*:2\)$/,
  ],
  [
    'the root',
    'FROM scratch\nRUN --mount=type=tmpfs,target=/ ["x"]',
    /invalid mount target "\/" .* \(\S*:2\)$/,
  ],
  [
    'a mount from nowhere',
    'FROM scratch\nRUN --mount=from=nowhere,target=/x ["x"]',
    /: from=nowhere,target=\/x from=nowhere: no stage or image found.* \(\S*:2\)$/,
  ],
  ['required secret', 'FROM scratch\nRUN --mount=type=secret,id=no,required ["x"]', /secret required/],
];

for (const [name, text, said] of BAD_STEPS)
  onlyRoot(`refused: ${name}`, async () => {
    await rejects(
      build(text, { useCache: false }),
      (error) => error instanceof BuildError && said.test(error.message),
    );
  });

test('SECURITY B02, I8: mount options', () => {
  for (const text of [
    'type=bind,target=/x,bind-propagation=rbind,rw=maybe',
    'type=cache,target=/x,sharing=all',
    'type=tmpfs,target=/x,suid',
    'type=bind',
    'target=/x,from=',
    'type=secret,id=s,uid=4294967296',
  ])
    try {
      parseMountSpec(text, '/');
      ok(false, text);
    } catch (error) {
      ok(error instanceof BuildError, text);
    }
  for (const value of ['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave'])
    deepEqual(parseMountSpec(`type=bind,target=x,bind-propagation=${value}`, '/w').flags, [value]);
  equal(parseMountSpec('type=bind,target=x', '/w').target, '/w/x');
  equal(parseMountSpec('type=tmpfs,target=x,size=1.5GB', '/').sizeText, '1610612736');
  equal(parseMountSpec('type=tmpfs,target=x,size=50%', '/').sizeText, '50%');
  equal(parseMountSpec('type=tmpfs,target=x,id=a,source=b', '/').target, '/x');
  equal(parseMountSpec('type=cache,target=x,sharing=LOCKED', '/').sharing, 'locked');
});

test('beside a Containerfile .dockerignore wins, in a context .containerignore', () => {
  const directory = mkdtempSync(join(base, 'ignore-'));
  for (const name of ['My.dockerignore', 'My.containerignore', '.dockerignore', '.containerignore'])
    writeFileSync(join(directory, name), `${name}\n`);
  deepEqual(readIgnoreFile(directory, { containerfile: join(directory, 'My') }).patterns, [
    'My.dockerignore',
  ]);
  deepEqual(readIgnoreFile(directory, {}).patterns, ['.containerignore']);
});

test('SECURITY B13: an ignore file that leads out of the context is not read', () => {
  const directory = mkdtempSync(join(base, 'ignore-'));
  writeFileSync(join(base, 'outside'), 'secret-pattern\n');
  symlinkSync(join(base, 'outside'), join(directory, '.dockerignore'));
  deepEqual(readIgnoreFile(directory, {}), { patterns: [] });
});

test('outputs', () => {
  const path = (text: string) => `/w/${text}`;
  deepEqual(parseOutput('out', path), { type: 'local', path: '/w/out' });
  deepEqual(parseOutput('-', path), { type: 'tar', path: '-' });
  deepEqual(parseOutput('type=tar,dest=x.tar', path), { type: 'tar', path: '/w/x.tar' });
  for (const text of [
    'type=local',
    'dest=x',
    'type=zip,dest=x',
    'type=local,dest=-',
    'a,b',
    'type=tar,type=tar,dest=x',
  ])
    try {
      parseOutput(text, path);
      ok(false, text);
    } catch (error) {
      ok(error instanceof BuildError, text);
    }
});

test('source policies', () => {
  const rules = [
    { action: 'ALLOW', identifier: 'docker-image://docker.io/library/a:1', matchType: 'EXACT' },
    {
      action: 'CONVERT',
      identifier: 'docker-image://docker.io/library/b:*',
      matchType: 'WILDCARD',
      target: 'docker-image://x/b:2',
    },
    { action: 'DENY', identifier: '*', matchType: 'WILDCARD' },
  ] as const;
  equal(applySourcePolicy(rules, 'a:1'), 'a:1');
  equal(applySourcePolicy(rules, 'b:9'), 'x/b:2');
  equal(applySourcePolicy(rules, 'scratch'), 'scratch');
  try {
    applySourcePolicy(rules, 'quay.io/c');
    ok(false);
  } catch (error) {
    match((error as Error).message, /denied by source policy/);
  }
});

test('a squashed image of a build with layers goes to a layout alone, as one layer', async () => {
  const layout = join(base, 'squashed');
  const text = 'FROM scratch\nCOPY f /one\nCOPY f /two\n';
  await build(text, { squash: true, output: `oci:${layout}:x` });
  const read = (digest: string) =>
    JSON.parse(readFileSync(join(layout, 'blobs', digest.replace(':', '/')), 'utf8'));
  const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8'));
  equal(index.manifests.length, 1);
  equal(read(index.manifests[0].digest).layers.length, 1);
});

test('a squashed build with layers takes every step from the cache and squashes again', async () => {
  const text = 'FROM scratch\nCOPY f /squashed/one\nCOPY f /squashed/two\n';
  const first = await build(text, { squash: true });
  const second = await build(text, { squash: true });
  equal(first.text().includes('Using cache'), false);
  equal(second.text().match(/Using cache/g)?.length, 2);
});

test.run();
