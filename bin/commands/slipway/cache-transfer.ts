import { mkdtempSync, rmSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { ArtifactFile } from '../../../artifact/pack.ts';
import {
  CACHE_ARTIFACT_TYPE,
  CACHE_MEDIA_TYPE,
  packCache,
  readPackedCache,
  unpackCache,
} from '../../../build/caches/archive.ts';
import { listCaches } from '../../../build/caches/list.ts';
import type { ImageReference } from '../../../transport/contract.ts';
import { parseImageReference } from '../../../transport/references.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../cli/contract.ts';
import { parseByteSize } from '../../cli/duration.ts';
import { UsageError } from '../../cli/error.ts';
import { imagePolicy, POLICY_FLAGS, policyFlags } from '../../cli/image-policy.ts';
import { parseAnyReference } from '../../cli/image-reference.ts';
import { registryFlags } from '../../cli/registry-access.ts';
import { REGISTRIES_D_FLAG } from '../../cli/signature-places.ts';
import { temporaryDirectory, transportContext } from '../../cli/transport-context.ts';
import { cacheDirectory } from '../buildah/cache-directory.ts';
import { QUIET, withProgress } from './artifact/shared.ts';
import { chosenCaches } from './cache-list.ts';

/** Most caches are smaller by far, and an archive of zeros must not fill the disk. */
const LIMIT: FlagSpec = {
  name: 'limit',
  kind: 'string',
  default: '64g',
  usage: 'refuse a cache that is bigger than this `SIZE` when it is unpacked',
};
const LIMIT_ENTRIES = 5_000_000;

export const exportCommand: CommandSpec = {
  name: 'export',
  summary: 'Write cache mounts to a tar file or a registry',
  description:
    'DESTINATION is a file (a name with a slash or with .tar at its end), which becomes an OCI archive, or a reference:\n' +
    'docker://HOST/NAME:TAG, oci:DIRECTORY:TAG. Each cache mount becomes one blob of an OCI artifact. A cache mount that\n' +
    'a RUN uses is waited for. Without names every cache mount is exported.',
  usage: '[flags] DESTINATION [NAME|KEY...]',
  examples: [
    'slipway cache export caches.tar',
    'slipway cache export docker://registry.example.com/ci/caches:main npm',
  ],
  args: { min: 1 },
  flags: [...registryFlags(), QUIET],
  run: async (context) => {
    const [given, ...names] = context.args as [string, ...string[]];
    const parent = cacheDirectory(context);
    const caches = chosenCaches(listCaches(parent), names);
    if (caches.length === 0) throw new UsageError('usage', 'there is no cache mount to export');
    const { pushArtifact } = await import('../../../artifact/push.ts');
    await withScratch(context, async (scratch) => {
      const files: ArtifactFile[] = [];
      for (const cache of caches) {
        const path = join(scratch, `${cache.key}.tar.zst`);
        const annotations = await packCache(parent, cache, path, context.signal);
        files.push({ path, title: `${cache.key}.tar.zst`, mediaType: CACHE_MEDIA_TYPE, annotations });
      }
      await exportTo(context, given, async (reference) => {
        const pushed = await withProgress(context, (options) =>
          pushArtifact(reference, files, transportContext(context), {
            ...options,
            artifactType: CACHE_ARTIFACT_TYPE,
          }),
        );
        context.print(pushed.digest);
      });
    });
  },
};

export const importCommand: CommandSpec = {
  name: 'import',
  summary: 'Take cache mounts from a tar file or a registry',
  description:
    'Takes what slipway cache export wrote. A cache mount of the same name and owner is replaced, when no RUN uses it.\n' +
    'Prints the key of each.',
  usage: '[flags] SOURCE',
  examples: ['slipway cache import caches.tar'],
  args: { min: 1, max: 1 },
  flags: [...registryFlags(), REGISTRIES_D_FLAG, ...POLICY_FLAGS, LIMIT, QUIET],
  run: async (context) => {
    const { flags, io } = context;
    const limits = { limitBytes: parseByteSize(flags.string('limit')), limitEntries: LIMIT_ENTRIES };
    const given = context.args[0] as string;
    const reference = isFile(given)
      ? await archiveReference(resolve(io.workingDirectory, given))
      : await parseAnyReference(given, io.workingDirectory);
    const policy = await imagePolicy(context, policyFlags(flags));
    const { pullArtifact } = await import('../../../artifact/pull.ts');
    await withScratch(context, async (directory) => {
      const pulled = await withProgress(context, (options) =>
        pullArtifact(policy, reference, transportContext(context), { directory, ...options }),
      );
      let count = 0;
      for (const { path, descriptor } of pulled) {
        const packed = readPackedCache(descriptor.annotations);
        if (!packed) continue;
        count += 1;
        context.print(await unpackCache(cacheDirectory(context), packed, path, limits, context.signal));
      }
      if (count === 0) throw new UsageError('usage', `${given} holds no cache mounts`);
    });
  },
};

const isFile = (text: string) => /^\.{0,2}\/|\.tar$/.test(text) && !/^[a-z-]+:/.test(text);

function archiveReference(path: string): Promise<ImageReference> {
  if (path.includes(':')) throw new UsageError('usage', `the name of the archive ${path} has a colon in it`);
  return parseImageReference(`oci-archive:${path}:caches`, { workingDirectory: '/' });
}

/** A file gets its name when it is whole. */
async function exportTo(
  context: CommandContext,
  given: string,
  push: (reference: ImageReference) => Promise<void>,
): Promise<void> {
  const { workingDirectory } = context.io;
  if (!isFile(given)) return push(await parseAnyReference(given, workingDirectory));
  const path = resolve(workingDirectory, given);
  const beside = mkdtempSync(`${path}.partial-`);
  try {
    const whole = join(beside, 'archive.tar');
    await push(await archiveReference(whole));
    await rename(whole, path);
  } finally {
    rmSync(beside, { recursive: true, force: true });
  }
}

async function withScratch(
  context: CommandContext,
  use: (directory: string) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(temporaryDirectory(context.io), 'slipway-cache-'));
  try {
    await use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
