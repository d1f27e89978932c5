import { rmSync, writeFileSync } from 'node:fs';
import type { Bench, Row, Side } from './bench.ts';
import { makeTree, mixedBytes } from './data.ts';
import { makeManyImages, manyStore } from './many-images.ts';

const ISOLATION = ['--isolation', 'chroot'];
const INSECURE = ['--src-tls-verify=false', '--dest-tls-verify=false'];

function build(bench: Bench, side: Side, args: readonly string[]) {
  return {
    command: bench.buildah(side),
    args: [...bench.store(side), 'build', ...ISOLATION, '--quiet', ...args],
  };
}

function skopeo(bench: Bench, side: Side, args: readonly string[]) {
  return { command: bench.skopeo(side), args: ['--insecure-policy', ...args] };
}

function storage(bench: Bench, side: Side, name: string): string {
  return `containers-storage:[overlay@${bench.path(`${side}-root`)}+${bench.path(`${side}-run`)}]${name}`;
}

/** The base image once more in the registry, gzip-compressed, pushed by our own tool. */
function pushBase(bench: Bench): void {
  bench.baseImage();
  bench.once('pushed', () =>
    bench.run('bin/skopeo', [
      '--insecure-policy',
      'copy',
      '--quiet',
      ...INSECURE,
      storage(bench, 'ours', 'localhost/base'),
      `docker://${bench.registry}/base:1`,
    ]),
  );
}

function smallImages(bench: Bench): void {
  bench.once('small', () => {
    for (let image = 0; image < 50; image += 1) {
      const tree = bench.path('small', String(image));
      makeTree(tree, 3, 600_000, 1000 + image);
      const container = bench.run('bin/buildah', [...bench.store('ours'), 'from', 'scratch']).trim();
      bench.run('bin/buildah', [...bench.store('ours'), 'copy', '--quiet', container, tree, '/']);
      bench.run('bin/buildah', [
        ...bench.store('ours'),
        'commit',
        '--quiet',
        '--tls-verify=false',
        container,
        `docker://${bench.registry}/small/app${image % 5}:v${image}`,
      ]);
      bench.run('bin/buildah', [...bench.store('ours'), 'rm', container]);
    }
    const images = Object.fromEntries(
      Array.from({ length: 5 }, (_, app) => [
        `small/app${app}`,
        Array.from({ length: 10 }, (_unused, tag) => `v${tag * 5 + app}`),
      ]),
    );
    writeFileSync(
      bench.path('sync.yaml'),
      JSON.stringify({ [bench.registry]: { 'tls-verify': false, images } }),
    );
  });
}

function sync(bench: Bench, side: Side, target: string) {
  return skopeo(bench, side, [
    'sync',
    '--src',
    'yaml',
    '--dest',
    'docker',
    '--dest-tls-verify=false',
    bench.path('sync.yaml'),
    `${bench.registry}/${target}`,
  ]);
}

const startUp: Row[] = [
  {
    name: 'start: skopeo --version against node -e 0',
    goal: 2,
    peer: 'node',
    command: (bench, side) =>
      side === 'ours'
        ? { command: bench.skopeo(side), args: ['--version'] }
        : { command: process.execPath, args: ['-e', '0'] },
  },
];

const builds: Row[] = [
  {
    name: 'build: 11 steps, cold',
    peer: 'buildah',
    goal: 0.4,
    prepare: (bench) => bench.baseImage(),
    command: (bench, side, run) =>
      build(bench, side, ['--no-cache', '-t', `cold${run}`, bench.buildContext()]),
  },
  {
    name: 'build: 11 steps with --layers, cold',
    peer: 'buildah',
    goal: 0.4,
    prepare: (bench) => bench.baseImage(),
    command: (bench, side, run) =>
      build(bench, side, ['--layers', '--no-cache', '-t', `layers${run}`, bench.buildContext()]),
  },
  {
    name: 'build: 11 steps with --layers, all cached',
    peer: 'buildah',
    goal: 0.35,
    prepare: (bench) => bench.baseImage(),
    before: (bench, side) =>
      bench.once(`warm ${side}`, () =>
        bench.run(
          build(bench, side, []).command,
          build(bench, side, ['--layers', '-t', 'warm', bench.buildContext()]).args,
        ),
      ),
    command: (bench, side) => build(bench, side, ['--layers', '-t', 'warm', bench.buildContext()]),
  },
  {
    name: 'build: one file of 10,000 changed',
    peer: 'buildah',
    goal: 0.33,
    prepare: (bench) => {
      bench.baseImage();
      bench.once('big context', () => {
        makeTree(bench.path('big/tree'), 10_000, 40e6, 21);
        writeFileSync(bench.path('big/Containerfile'), 'FROM localhost/base\nCOPY tree /tree\n');
      });
    },
    before: (bench, side, run) => {
      bench.once(`big ${side}`, () =>
        bench.run(
          build(bench, side, []).command,
          build(bench, side, ['--layers', '-t', 'big', bench.path('big')]).args,
        ),
      );
      writeFileSync(
        bench.path('big/tree/d0/file0.bin'),
        mixedBytes(4000, 5000 + run * 2 + (side === 'ours' ? 0 : 1)),
      );
    },
    command: (bench, side) => build(bench, side, ['--layers', '-t', 'big', bench.path('big')]),
  },
  {
    name: 'build: 40 ENV and LABEL steps with --layers, cold',
    peer: 'buildah',
    goal: 0.25,
    prepare: (bench) => {
      bench.baseImage();
      const steps = Array.from({ length: 20 }, (_, at) => `ENV E${at}=${at}\nLABEL l${at}=${at}`).join('\n');
      writeFileSync(bench.path('Containerfile.meta'), `FROM localhost/base\n${steps}\n`);
    },
    command: (bench, side, run) =>
      build(bench, side, [
        '--layers',
        '--no-cache',
        '-t',
        `meta${run}`,
        '-f',
        bench.path('Containerfile.meta'),
        bench.buildContext(),
      ]),
  },
  {
    name: 'build: 4 independent stages of sleep 1',
    peer: 'buildah',
    prepare: (bench) => {
      bench.baseImage();
      const stages = [1, 2, 3, 4]
        .map((at) => `FROM localhost/base AS s${at}\nRUN sleep 1 && touch /f${at}`)
        .join('\n');
      const copies = [1, 2, 3, 4].map((at) => `COPY --from=s${at} /f${at} /`).join('\n');
      writeFileSync(bench.path('Containerfile.par'), `${stages}\nFROM localhost/base\n${copies}\n`);
    },
    command: (bench, side, run) =>
      build(bench, side, [
        '--no-cache',
        '-t',
        `par${run}`,
        '-f',
        bench.path('Containerfile.par'),
        bench.buildContext(),
      ]),
  },
];

/** The 11 steps by us, or by BuildKit in a warm Docker engine. */
function elevenSteps(bench: Bench, side: Side, ours: readonly string[], engine: readonly string[]) {
  const context = bench.buildContext();
  return side === 'ours'
    ? build(bench, side, [...ours, context])
    : bench.docker(
        'build',
        '--quiet',
        '--network',
        'none',
        ...engine,
        '-f',
        `${context}/Containerfile`,
        context,
      );
}

function baseForBoth(bench: Bench): void {
  if (bench.engine) bench.baseInEngine();
  else bench.baseImage();
}

const cachedSteps = (bench: Bench, side: Side) => elevenSteps(bench, side, ['--layers', '-t', 'warm'], []);

const engineBuilds: Row[] = [
  {
    name: 'build: 11 steps, cold, against BuildKit',
    peer: 'docker',
    goal: 1,
    prepare: baseForBoth,
    command: (bench, side, run) =>
      elevenSteps(bench, side, ['--no-cache', '-t', `kit${run}`], ['--no-cache']),
  },
  {
    name: 'build: 11 steps, all cached, against BuildKit',
    peer: 'docker',
    goal: 1.5,
    prepare: baseForBoth,
    before: (bench, side) =>
      bench.once(`kit warm ${side}`, () => {
        const { command, args } = cachedSteps(bench, side);
        bench.run(command, args, { DOCKER_BUILDKIT: '1' });
      }),
    command: cachedSteps,
  },
];

const containers: Row[] = [
  {
    name: 'from + run true + commit + rm',
    peer: 'buildah',
    goal: 0.5,
    prepare: (bench) => bench.baseImage(),
    command: (bench, side, run) => {
      const tool = `${bench.buildah(side)} ${bench.store(side).join(' ')}`;
      return {
        command: 'sh',
        args: [
          '-ec',
          `c=$(${tool} from localhost/base); ${tool} run --isolation chroot $c true; ${tool} commit -q $c quick${run}; ${tool} rm $c`,
        ],
      };
    },
  },
  {
    name: 'commit of 100 MB',
    peer: 'buildah',
    goal: 0.5,
    prepare: (bench) => {
      bench.baseImage();
      bench.once('hundred', () => writeFileSync(bench.path('hundred.bin'), mixedBytes(100e6, 99)));
    },
    before: (bench, side) => {
      const tool = bench.buildah(side);
      bench.run(tool, [...bench.store(side), 'from', '--name', 'hundred', 'localhost/base']);
      bench.run(tool, [...bench.store(side), 'copy', '--quiet', 'hundred', bench.path('hundred.bin'), '/']);
    },
    command: (bench, side) => ({
      command: bench.buildah(side),
      args: [...bench.store(side), 'commit', '--quiet', 'hundred', 'hundred'],
    }),
    after: (bench, side) => void bench.run(bench.buildah(side), [...bench.store(side), 'rm', 'hundred']),
  },
  {
    name: 'images: 1,000 in the store',
    peer: 'buildah',
    goal: 0.5,
    prepare: (bench) => makeManyImages(bench, 1000),
    command: (bench, side) => ({
      command: bench.buildah(side),
      args: [...manyStore(bench), 'images'],
    }),
  },
];

const transfers: Row[] = [
  {
    name: 'copy: storage to registry, gzip, 204 MB',
    peer: 'skopeo',
    goal: 0.5,
    prepare: (bench) => bench.baseImage(),
    // Every run pushes to an empty registry, else blobs would be mounted instead of moved.
    before: (bench) => rmSync(bench.path('registry'), { recursive: true, force: true }),
    command: (bench, side, run) =>
      skopeo(bench, side, [
        'copy',
        '--quiet',
        '--dest-tls-verify=false',
        storage(bench, side, 'localhost/base'),
        `docker://${bench.registry}/push/${side}${run}:1`,
      ]),
  },
  {
    name: 'copy: registry to oci layout',
    peer: 'skopeo',
    goal: 0.9,
    prepare: pushBase,
    before: (bench, side) => rmSync(bench.path(`layout-${side}`), { recursive: true, force: true }),
    command: (bench, side) =>
      skopeo(bench, side, [
        'copy',
        '--quiet',
        '--src-tls-verify=false',
        `docker://${bench.registry}/base:1`,
        `oci:${bench.path(`layout-${side}`)}:x`,
      ]),
  },
  {
    name: 'copy: registry to containers-storage',
    peer: 'skopeo',
    goal: 0.5,
    prepare: pushBase,
    command: (bench, side, run) =>
      skopeo(bench, side, [
        'copy',
        '--quiet',
        '--src-tls-verify=false',
        `docker://${bench.registry}/base:1`,
        `containers-storage:[overlay@${bench.path(`pull-${side}${run}`)}+${bench.path(`pullrun-${side}${run}`)}]localhost/pulled`,
      ]),
  },
  {
    name: 'sync: 50 small images, registry to registry',
    peer: 'skopeo',
    goal: 0.3,
    prepare: smallImages,
    command: (bench, side, run) => sync(bench, side, `mirror-${side}${run}`),
  },
  {
    name: 'sync: the same with nothing new',
    peer: 'skopeo',
    goal: 0.6,
    prepare: smallImages,
    before: (bench, side) =>
      bench.once(`synced ${side}`, () =>
        bench.run(sync(bench, side, '').command, sync(bench, side, `again-${side}`).args),
      ),
    command: (bench, side) => sync(bench, side, `again-${side}`),
  },
  {
    name: 'inspect in the registry',
    peer: 'skopeo',
    goal: 3,
    prepare: pushBase,
    command: (bench, side) =>
      skopeo(bench, side, ['inspect', '--tls-verify=false', `docker://${bench.registry}/base:1`]),
  },
];

export const ROWS: readonly Row[] = [...startUp, ...builds, ...engineBuilds, ...containers, ...transfers];
