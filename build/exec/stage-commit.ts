import { readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { addToContainer } from '../add/add.ts';
import { commitContainer } from '../commit/commit.ts';
import type { CommitOptions, CommitResult } from '../container/contract.ts';
import type { StageState } from '../plan/stage-state.ts';
import type { SbomOptions } from '../sbom/options.ts';
import type { ScanResult } from '../sbom/scan.ts';
import { destinationOf } from './destination.ts';
import { openOutput } from './log.ts';
import type { BuildOptions } from './options.ts';
import type { BuildSession } from './session.ts';
import type { StageContainer } from './stage-container.ts';
import { configuredContainer } from './step-config.ts';

/** How one commit of a stage differs from the others. */
export interface StageCommitOptions {
  readonly createdBy: string;
  readonly emptyLayer: boolean;
  /** Empty: an intermediate image without name. */
  readonly name: string;
  readonly squash: boolean;
  /** The last instruction of the last stage. */
  readonly isLastStep: boolean;
  /** The layer was queued by `--link`. */
  readonly link: boolean;
  /** Nothing needs the container any more: its files may become the layer themselves. */
  readonly ownsContainer: boolean;
  /** The image goes when the build ends. */
  readonly temporary: boolean;
  /** See {@link CommitOptions.origin}. */
  readonly origin?: string;
  /** List the files of the image as `--sbom` says. */
  readonly scan?: boolean;
}

/** Makes an image of the stage as it stands. */
export async function commitStage(
  session: BuildSession,
  stage: StageContainer,
  state: StageState,
  step: StageCommitOptions,
): Promise<CommitResult> {
  const { options, surroundings } = session;
  await using scanned = step.scan && options.sbom ? await scan(session, stage, options.sbom) : undefined;
  if (step.squash) await storeFiles(session, stage, scanned?.imageFiles ?? {});
  const container = configuredContainer(await stage.ensure(), state, options, step);
  const destination = step.name ? destinationOf(session, step.name) : undefined;
  const consumeContainer = step.ownsContainer && !step.squash && !step.emptyLayer;
  if (consumeContainer) await stage.unmount();
  const committed = await commitContainer(surroundings, container, await destination?.reference(), {
    ...documentOptions(options, step.isLastStep),
    squash: step.squash,
    emptyLayer: step.emptyLayer,
    omitLayerHistoryEntry: step.link,
    origin: step.origin,
    rewriteTimestamp: options.rewriteTimestamp,
    consumeContainer,
    classicOmissions: options.compatLayerOmissions,
    extraFiles: step.squash ? undefined : scanned?.imageFiles,
    names: destination?.isStore ? [destination.storedName] : [],
    copy: options.copy,
    // Buildah is silent about the copies of the images that a cache may keep.
    reportsCopy: !options.layers && options.useCache,
    signers: step.isLastStep ? options.signers : undefined,
    onImage: step.temporary ? (id) => session.workspace.addImage(id) : undefined,
  });
  options.debug?.(`created new image ID "${committed.imageId}"`);
  return committed;
}

/** What of the build's options goes into config and manifest of a step's image. */
export function documentOptions(options: BuildOptions, isLastStep: boolean): CommitOptions {
  return {
    format: options.format,
    omitHistory: options.omitHistory,
    timestampSeconds: options.timestampSeconds,
    sourceDateEpochSeconds: options.sourceDateEpochSeconds,
    unsetAnnotations: options.unsetAnnotations,
    annotations: isLastStep ? options.annotations : [],
    createdAnnotation: options.createdAnnotation,
    setParent: options.compatSetParent,
    compressLayers: options.compressLayers,
    blobDirectory: options.blobDirectory,
  };
}

async function scan(session: BuildSession, stage: StageContainer, sbom: SbomOptions): Promise<ScanResult> {
  const { surroundings, options } = session;
  const { scanRootfs } = await import('../sbom/scan.ts');
  return scanRootfs(surroundings, (await stage.mounted()).rootfs, sbom, {
    isolation: options.run.isolation,
    runtime: options.run.runtime,
    pullPolicy: options.pullPolicy,
    stderr: openOutput(options.stderr),
  });
}

/** A squashed image has one layer: what is added to it goes into the container first. */
async function storeFiles(
  session: BuildSession,
  stage: StageContainer,
  files: Readonly<Record<string, string>>,
): Promise<void> {
  for (const [path, file] of Object.entries(files)) {
    const source = { name: posix.basename(path), data: readFileSync(file) };
    const { container } = await stage.mounted();
    await addToContainer(session.surroundings, container, path, [source]);
  }
}
