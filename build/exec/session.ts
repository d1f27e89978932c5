import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { SlipwayError } from '../../errors.ts';
import type { Digest } from '../../image/digest.ts';
import { type Platform, parseExplicitPlatform } from '../../image/platform.ts';
import type { IdMappings } from '../../store/layer/contract.ts';
import type { ImageRecord } from '../../store/storage/contract.ts';
import { DigestFile, type KnownDigests } from '../add/known-digests.ts';
import type { BuildSurroundings, WorkingContainer } from '../container/contract.ts';
import { otherPlatform } from '../container/other-platform.ts';
import { pullImage } from '../container/pull.ts';
import { BuildError } from '../error.ts';
import type { Instruction } from '../parse/instruction.ts';
import { type StageGraph, sourceStage } from '../plan/graph.ts';
import type { Stage } from '../plan/stages.ts';
import { ContextSet } from './contexts.ts';
import { type IgnoreFile, readIgnoreFile } from './ignore-file.ts';
import { type ImageView, ImageViews } from './image-view.ts';
import { BuildLog } from './log.ts';
import type { BuildOptions } from './options.ts';
import { applySourcePolicy } from './source-policy.ts';
import { StepsUnderWay } from './steps-under-way.ts';
import type { Workspace } from './workspace.ts';

/** What a finished stage leaves to the others. */
export interface StageResult {
  readonly imageId: string;
  readonly view?: ImageView;
  readonly digest?: Digest;
  readonly manifest?: Uint8Array;
  readonly mediaType?: string;
  /** The container whose file system is the stage's, where no image was made of it. */
  readonly container?: WorkingContainer;
  /** The image is the base image itself. */
  readonly onlyBaseImage: boolean;
  /** Something was executed and not found in the cache. */
  readonly didExecute: boolean;
}

/** Where a `from=` leads. */
export interface FileSource {
  readonly directory: string;
  /** What cache keys use for it: a digest, or undefined where contents are hashed. */
  readonly digest?: string;
  readonly kind: 'stage' | 'image' | 'context';
  readonly didExecute: boolean;
  /** Those by which the files' owners on this host are ids of the stage that made them. */
  readonly idMappings?: IdMappings;
}

/** One build of one platform: what its stages share. */
export class BuildSession {
  readonly surroundings: BuildSurroundings;
  readonly options: BuildOptions;
  readonly stages: readonly Stage[];
  readonly graph: StageGraph;
  readonly workspace: Workspace;
  readonly log: BuildLog;
  readonly views: ImageViews;
  readonly contexts: ContextSet;
  readonly builtins: ReadonlyMap<string, string>;
  /** Of all files, those of unneeded stages too. */
  readonly instructions: readonly Instruction[];
  readonly results = new Map<number, StageResult>();
  readonly stepsUnderWay = new StepsUnderWay();
  /** Repositories of `--cache-from` that did not answer. */
  readonly unreachable = new Set<string>();
  /** The rules of the main context. */
  readonly ignore: IgnoreFile;
  #writableContext: string | undefined;
  readonly #digestFiles = new Map<string, DigestFile | undefined>();
  readonly #imageRoots = new Map<string, Promise<{ directory: string; digest?: string }>>();
  readonly #stageRoots = new Map<number, Promise<string>>();

  constructor(given: {
    readonly surroundings: BuildSurroundings;
    readonly options: BuildOptions;
    readonly stages: readonly Stage[];
    readonly graph: StageGraph;
    readonly workspace: Workspace;
    /** Absent: one of its own. */
    readonly log?: BuildLog;
    readonly builtins: ReadonlyMap<string, string>;
    readonly instructions: readonly Instruction[];
  }) {
    this.surroundings = given.surroundings;
    this.options = given.options;
    this.stages = given.stages;
    this.graph = given.graph;
    this.workspace = given.workspace;
    this.log = given.log ?? new BuildLog(given.options);
    this.builtins = given.builtins;
    this.instructions = given.instructions;
    this.views = new ImageViews(given.surroundings.store);
    this.contexts = new ContextSet(given.options, given.surroundings, given.workspace);
    this.ignore = readIgnoreFile(given.options.contextDirectory, {
      explicit: given.options.ignoreFile,
      containerfile: given.options.files[0]?.path,
    });
  }

  /** The digests that are known of the files of a context. */
  digests(directory: string): KnownDigests | undefined {
    const { memoryDirectory } = this.options;
    const isView = directory === this.options.contextDirectory && this.#writableContext !== undefined;
    if (memoryDirectory === undefined || isView) return undefined;
    if (!this.#digestFiles.has(directory))
      this.#digestFiles.set(directory, DigestFile.open(join(memoryDirectory, 'digests'), directory));
    return this.#digestFiles.get(directory);
  }

  saveDigests(): void {
    for (const file of this.#digestFiles.values()) file?.save();
  }

  /** The main context, as writable mounts of it have left it. */
  get contextDirectory(): string {
    return this.#writableContext ?? this.options.contextDirectory;
  }

  /**
   * A view of the context that RUN may write to: later steps of this build see what it wrote, the context itself and
   * other builds never (SECURITY B14).
   */
  async writableContext(): Promise<string> {
    if (this.#writableContext !== undefined) return this.#writableContext;
    const { mount, MNT, unmount } = await import('../../store/kernel/mount.ts');
    const directory = this.workspace.directory('context');
    const [upper, work, merged] = ['upper', 'work', 'merged'].map((name) => join(directory, name)) as [
      string,
      string,
      string,
    ];
    for (const path of [upper, work, merged]) mkdirSync(path, { mode: 0o755 });
    const lower = this.options.contextDirectory.replaceAll(/[\\:,]/g, '\\$&');
    mount('overlay', merged, 'overlay', 0, `lowerdir=${lower},upperdir=${upper},workdir=${work}`);
    this.workspace.unmountFirst(() => unmount(merged, MNT.detach));
    this.#writableContext = merged;
    return merged;
  }

  /** The platform a stage is built for: what `FROM --platform` says, else the build's. */
  platformOf(stage: Stage): Platform {
    return stage.platform === undefined
      ? this.surroundings.platform
      : parseExplicitPlatform(stage.platform, this.options.buildPlatform);
  }

  /** Brings an image into the store as `--pull` says; says so where it is not of the platform asked for. */
  async pull(reference: string, platform = this.surroundings.platform): Promise<ImageRecord> {
    const { options, surroundings } = this;
    const allowed = applySourcePolicy(options.sourceRules ?? [], reference);
    // A local image under this name may be the one that another stage wanted for its own platform.
    const customPlatform = options.platformGiven || this.stages.some((stage) => stage.platform !== undefined);
    options.debug?.(
      `Setting MaxPullPushRetries to ${options.retries ?? 3} and PullPushRetryDelay to ${(options.retryDelayMs ?? 2000) / 1000}s`,
    );
    const record = await pullImage(
      { ...surroundings, platform, workingDirectory: this.contextDirectory },
      allowed,
      {
        pullPolicy: options.pullPolicy,
        retries: options.retries,
        retryDelayMs: options.retryDelayMs,
        customPlatform,
        hostPlatform: options.buildPlatform,
        decryptionKeys: options.decryptionKeys,
        blobCacheDirectory: options.blobDirectory,
        onStatus: (text) => this.log.status(text),
      },
    );
    if (customPlatform) await this.#comparePlatform(record, platform);
    return record;
  }

  async #comparePlatform(record: ImageRecord, expected: Platform): Promise<void> {
    const view = await this.views.get(record);
    if (!view) return;
    const text = otherPlatform(view.config, expected);
    if (text) this.surroundings.onWarning?.(text);
  }

  /** The stage that a name means for the stage `own`, where it is one. */
  stageNamed(own: number, name: string): number | undefined {
    return sourceStage(this.stages, own, name, this.contexts.names);
  }

  /**
   * The directory that `--from=NAME` or `from=NAME` means: context, stage, or image, in this order.
   * @param asked what names it, for messages: all before the equals sign
   */
  async filesFrom(own: number, name: string, asked = 'COPY --from'): Promise<FileSource> {
    const index = this.stageNamed(own, name);
    const context = this.contexts.get(index === undefined ? this.#stageNameOf(own, name) : name);
    if (context?.kind === 'image') {
      const root = await this.#imageRoot(context.reference, `${asked}=${name}`);
      return { ...root, kind: 'image', didExecute: true };
    }
    if (context) return { directory: await this.contexts.directory(name), kind: 'context', didExecute: true };
    if (index === undefined)
      return { ...(await this.#imageRoot(name, `${asked}=${name}`)), kind: 'image', didExecute: true };
    const result = this.results.get(index);
    if (!result) throw new BuildError('no-such-stage', `the stage "${name}" has not been built`);
    return {
      directory: await this.#stageRoot(index, result),
      digest: result.digest,
      kind: 'stage',
      didExecute: result.didExecute,
      idMappings: result.container?.idMappings,
    };
  }

  /** `--from=0` is a context when that stage's name is one. */
  #stageNameOf(own: number, name: string): string {
    const index = /^\d+$/.test(name) ? Number(name) : -1;
    return (index < own ? this.stages[index]?.name : undefined) ?? name;
  }

  #imageRoot(reference: string, shown: string): Promise<{ directory: string; digest?: string }> {
    const known = this.#imageRoots.get(reference);
    if (known) return known;
    const root = this.#openImageRoot(reference, shown);
    this.#imageRoots.set(reference, root);
    return root;
  }

  async #openImageRoot(reference: string, shown: string): Promise<{ directory: string; digest?: string }> {
    let record: ImageRecord;
    try {
      record = await this.pull(reference);
    } catch (cause) {
      if (!(cause instanceof SlipwayError)) throw cause;
      throw new BuildError(
        'no-such-stage',
        `${shown}: no stage or image found with that name: ${cause.message}`,
        {
          cause,
          ...(cause.hint ? { hint: cause.hint } : {}),
        },
      );
    }
    return { directory: await this.layerDirectory(record.topLayer), digest: record.digest };
  }

  /** The files of an image's top layer, read-only; an empty directory for an image without layers. */
  async layerDirectory(topLayer: string | undefined): Promise<string> {
    if (topLayer) return this.workspace.mountLayer(topLayer, { readOnly: true });
    const empty = this.workspace.directory('empty');
    mkdirSync(empty, { recursive: true });
    return empty;
  }

  #stageRoot(index: number, result: StageResult): Promise<string> {
    const known = this.#stageRoots.get(index);
    if (known) return known;
    const { container } = result;
    const root = container
      ? this.workspace.mountLayer(container.layerId)
      : this.layerDirectory(result.view?.record.topLayer);
    this.#stageRoots.set(index, root);
    return root;
  }
}
