import { PassThrough } from 'node:stream';
import type { WorkingContainer } from '../../../build/container/contract.ts';
import { type PreparedMounts, prepareMounts } from '../../../build/exec/mounts/prepare.ts';
import { BuildSession } from '../../../build/exec/session.ts';
import { Workspace } from '../../../build/exec/workspace.ts';
import type { Stage } from '../../../build/plan/stages.ts';
import { cacheDirectory } from './cache-directory.ts';
import { BUILDAH_LEVEL } from './registry-flags.ts';
import type { Session } from './session.ts';

/**
 * Opens mounts as those of a RUN of a build without stages: `from=` means an image, sources are below the given
 * directory.
 */
export async function openMountSession(
  { surroundings }: Session,
  container: WorkingContainer,
  texts: readonly string[],
  given: { readonly contextDirectory: string; readonly workingDirectory: string },
): Promise<PreparedMounts> {
  const workspace = new Workspace(surroundings);
  const nowhere = new PassThrough().resume();
  const session = new BuildSession({
    surroundings,
    stages: [],
    graph: { needs: [], needed: new Set() },
    workspace,
    builtins: new Map(),
    instructions: [],
    options: {
      contextDirectory: given.contextDirectory,
      files: [],
      arguments: new Map(),
      target: '',
      contexts: new Map(),
      platform: surroundings.platform,
      buildPlatform: surroundings.platform,
      platformGiven: false,
      layers: false,
      useCache: false,
      format: container.preferredFormat,
      output: '',
      additionalTags: [],
      builderVersion: BUILDAH_LEVEL,
      pullPolicy: 'missing',
      run: {
        isolation: container.isolation,
        network: { mode: 'private' },
        capabilitiesAdd: [],
        capabilitiesDrop: [],
        hostEnvironment: surroundings.environment,
      },
      stdout: nowhere,
      stderr: nowhere,
      cacheDirectory: cacheDirectory({ io: surroundings }),
    },
  });
  const none = { index: -1, name: '', position: -1 } as unknown as Stage;
  const prepared = await prepareMounts(session, none, texts, {
    ...given,
    scratch: workspace.directory('mounts'),
    idMappings: container.idMappings,
    forgetsWrites: true,
  }).catch(async (error: unknown) => {
    await workspace[Symbol.asyncDispose]();
    throw error;
  });
  return {
    mounts: prepared.mounts,
    environment: prepared.environment,
    async [Symbol.asyncDispose]() {
      await prepared[Symbol.asyncDispose]();
      await workspace[Symbol.asyncDispose]();
    },
  };
}
