import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { copyContext } from '../../../build/compare/copy-context.ts';
import type { Difference } from '../../../build/compare/difference.ts';
import { compareImages } from '../../../build/compare/images.ts';
import type { BuildSurroundings } from '../../../build/container/contract.ts';
import { buildImage } from '../../../build/exec/build.ts';
import type { BuildOptions, BuildResult } from '../../../build/exec/options.ts';
import { formatPlatform } from '../../../image/platform.ts';
import { plainLine } from '../../cli/build-screen.ts';
import { plainView } from '../../cli/build-streams.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../cli/contract.ts';
import { BUILD_FLAGS } from '../buildah/build-flags.ts';
import { openBuild } from '../buildah/build-options.ts';
import { retryDefaults } from '../buildah/containers-conf.ts';

const DAY_MS = 86_400_000;
const DIFFERENCES_LIMIT = 1000;

const OWN_FLAGS: readonly FlagSpec[] = [
  { name: 'all', kind: 'bool', usage: 'name every difference, not only the first one' },
  { name: 'json', kind: 'bool', usage: 'print JSON' },
  { name: 'keep', kind: 'bool', usage: 'leave the two images in local storage' },
  { name: 'keep-times', kind: 'bool', usage: "build both from the times that the context's files have" },
];

/** `slipway verify-repro`: is this build the same on another day, in another place? */
export const verifyRepro: CommandSpec = {
  name: 'verify-repro',
  summary: 'Build twice and name the first thing in which the images differ',
  description:
    'Builds twice without cache, from copies of the context at two paths whose files were written on two days, with\n' +
    'clocks a day apart. Compares layers, config and annotations. Exits with 1 where they differ. Takes the flags of\n' +
    'buildah build; what they would name, push or write is left out.',
  usage: '[flags] [CONTEXT]',
  examples: ['slipway verify-repro --source-date-epoch 0 --rewrite-timestamp .'],
  flags: [...OWN_FLAGS, ...BUILD_FLAGS.filter((flag) => !OWN_FLAGS.some((own) => own.name === flag.name))],
  configuredDefaults: retryDefaults,
  args: { max: 1 },
  run: verify,
};

interface Verdict {
  readonly platform: string;
  readonly digests: readonly (string | undefined)[];
  readonly differences: readonly Difference[];
}

async function verify(context: CommandContext): Promise<number> {
  const verdicts: Verdict[] = [];
  const view = plainView(context.io);
  await using job = await openBuild(context, {
    streams: { stdout: view.stdout, stderr: view.stderr },
    build: async (surroundings, options) => {
      const [verdict, result] = await buildTwice(context, surroundings, options);
      verdicts.push(verdict);
      return result;
    },
  });
  await job.run();
  if (context.flags.bool('json')) context.print(JSON.stringify(verdicts, undefined, 2));
  else for (const verdict of verdicts) tell(context, verdict);
  return verdicts.every(({ differences }) => differences.length === 0) ? 0 : 1;
}

async function buildTwice(
  context: CommandContext,
  surroundings: BuildSurroundings,
  options: BuildOptions,
): Promise<[Verdict, BuildResult]> {
  const { flags } = context;
  const known = new Set((await surroundings.store.images.list()).map(({ id }) => id));
  const made: string[] = [];
  const started = performance.now();
  const first = await buildOnce(
    surroundings,
    noting(options, made),
    flags.bool('keep-times') ? undefined : 0,
  );
  // Files that commands write have whole seconds in layers: within one second two builds could agree by chance.
  await sleep(Math.max(0, 1100 - (performance.now() - started)), undefined, { signal: context.signal });
  const second = await buildOnce(
    surroundings,
    noting(options, made),
    flags.bool('keep-times') ? undefined : DAY_MS,
  );
  try {
    const differences: Difference[] = [];
    for await (const difference of compareImages(surroundings, first.imageId, second.imageId)) {
      differences.push(difference);
      if (!flags.bool('all') || differences.length >= DIFFERENCES_LIMIT) break;
    }
    const digests = [first.digest, second.digest];
    return [{ platform: formatPlatform(options.platform), digests, differences }, first];
  } finally {
    const kept = flags.bool('keep') ? [first.imageId, second.imageId] : [];
    await removeImages(surroundings, made, new Set([...known, ...kept]));
  }
}

/** The images of steps are gathered, to be removed when they were compared. */
function noting(options: BuildOptions, made: string[]): BuildOptions {
  return {
    ...options,
    onEvent: (event) => {
      if (event.type === 'image-committed') made.push(event.imageId);
    },
  };
}

/** @param laterMs how much later than now it seems to be; undefined: the context's own times, and now */
async function buildOnce(
  surroundings: BuildSurroundings,
  options: BuildOptions,
  laterMs: number | undefined,
): Promise<BuildResult> {
  const now = new Date(Date.now() + (laterMs ?? 0));
  const copy = copyContext(
    options.contextDirectory,
    surroundings.temporaryDirectory,
    laterMs === undefined ? undefined : now,
  );
  try {
    return await buildImage(
      { ...surroundings, now: () => now },
      {
        ...options,
        contextDirectory: copy,
        useCache: false,
        cacheFrom: [],
        cacheTo: [],
        output: '',
        additionalTags: [],
        outputs: [],
        signers: [],
      },
    );
  } finally {
    rmSync(dirname(copy), { recursive: true, force: true });
  }
}

async function removeImages(
  { store }: BuildSurroundings,
  ids: readonly string[],
  known: ReadonlySet<string>,
): Promise<void> {
  for (const id of new Set([...ids].reverse())) {
    const record = known.has(id) ? undefined : await store.images.get(id);
    if (record && record.names.length === 0) await store.deleteImage(id);
  }
}

function tell(context: CommandContext, { platform, digests, differences }: Verdict): void {
  if (differences.length === 0) {
    context.print(`${platform}: both builds gave ${digests[0] ?? 'the same image'}`);
    return;
  }
  context.print(`${platform}: the builds differ: ${digests.join(' and ')}`);
  for (const difference of differences) for (const line of differenceLines(difference)) context.print(line);
  const advice = adviceFor(differences[0] as Difference);
  if (advice) context.note(`hint: ${advice}`);
}

function differenceLines({ layer, createdBy, path, field, first, second }: Difference): string[] {
  const place = layer === undefined ? '' : `layer ${layer} (${plainLine((createdBy ?? '').slice(0, 100))}): `;
  return [
    `${place}${path === undefined ? '' : `${plainLine(path)}: `}${field}`,
    `    first:  ${plainLine(first)}`,
    `    second: ${plainLine(second)}`,
  ];
}

function adviceFor({ field, layer }: Difference): string | undefined {
  if (field === 'mtime') return '--source-date-epoch SECONDS --rewrite-timestamp pins the times of new files';
  if (layer === undefined && /created/.test(field))
    return '--source-date-epoch SECONDS pins the dates of the image';
  return undefined;
}
