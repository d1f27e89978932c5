import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { StoreError } from '../../error.ts';
import type { IdMappings } from '../../layer/contract.ts';
import { isOrdinaryUser, packingOwners } from '../../layer/owner-override.ts';
import { adjustTree } from '../adjust-tree.ts';
import { copyTree } from '../copy-tree.ts';
import type {
  Change,
  DiffOptions,
  DriverSettings,
  GraphDriver,
  StagedTree,
  StageFromOptions,
} from '../driver.ts';
import { type DriverOptions, parseDriverOptions } from '../driver-options.ts';
import { rootIds } from '../id-mappings.ts';
import { removeInPlace } from '../make-room.ts';
import { shiftOwners } from '../shift-owners.ts';
import { TemporaryDirectory } from '../temporary-directory.ts';

const DEFAULT_MODE = 0o555;

/** The vfs driver: every layer is a whole tree, `<home>/dir/<id>`, a copy of its parent's. Needs no mounts. */
export class VfsDriver implements GraphDriver {
  readonly name = 'vfs';
  readonly stagesWithoutParent = false;
  readonly hasMounted = false;
  readonly additionalStores: readonly string[];
  readonly temporaryRoots: readonly string[];
  readonly #home: string;
  readonly #imageHome: string;
  readonly #options: DriverOptions;
  readonly #rootless: boolean;

  constructor(settings: DriverSettings) {
    this.#home = join(settings.graphRoot, 'vfs');
    this.#imageHome = settings.imageStore === undefined ? this.#home : join(settings.imageStore, 'vfs');
    this.#options = parseDriverOptions('vfs', settings.options);
    this.#rootless = settings.rootless;
    this.additionalStores = this.#options.additionalStores;
    this.temporaryRoots = [...new Set([this.#imageHome, this.#home])].map((home) => join(home, 'tempdirs'));
    for (const home of new Set([this.#home, this.#imageHome]))
      mkdirSync(join(home, 'dir'), { recursive: true, mode: 0o700 });
  }

  get syncsFilesystem(): boolean {
    return this.#options.syncFilesystem;
  }

  exists(id: string): boolean {
    return existsSync(this.diffDirectory(id));
  }

  diffDirectory(id: string): string {
    const own = this.#ownDirectory(id);
    if (isDirectory(own)) return own;
    const lent = this.additionalStores.map((store) => join(store, 'vfs', 'dir', id));
    return lent.find(isDirectory) ?? own;
  }

  /** Where layer `id` is in what this store may write. */
  #ownDirectory(id: string): string {
    const own = [this.#home, this.#imageHome].map((home) => join(home, 'dir', id));
    return own.find(isDirectory) ?? own[0]!;
  }

  list(): string[] {
    return readdirSync(join(this.#home, 'dir'), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  }

  async stage(
    tar: Readable,
    temporary: TemporaryDirectory,
    options: { readonly parent?: string; readonly idMappings?: IdMappings; readonly signal?: AbortSignal },
  ): Promise<StagedTree> {
    const { applyLayer } = await import('../../layer/apply.ts');
    const directory = temporary.next();
    await this.#startTree(directory, options.parent, options.idMappings);
    const result = await applyLayer(directory, tar, {
      whiteouts: 'delete',
      idMappings: options.idMappings,
      inUserNamespace: this.#rootless,
      ignoreChownErrors: this.#options.ignoreChownErrors || isOrdinaryUser(),
      signal: options.signal,
    });
    return { directory, result, hasRoot: true };
  }

  async #startTree(
    directory: string,
    parent: string | undefined,
    mappings: IdMappings | undefined,
  ): Promise<void> {
    if (parent !== undefined) {
      this.#mustExist(parent);
      return await copyTree(this.diffDirectory(parent), directory);
    }
    mkdirSync(directory, { mode: 0o700 });
    const { uid, gid } = rootIds(mappings);
    if (uid !== 0 || gid !== 0) chownSync(directory, uid, gid);
    // An ordinary user could not fill a directory without write permission.
    chmodSync(directory, process.geteuid?.() === 0 ? DEFAULT_MODE : 0o755);
  }

  #mustExist(id: string): void {
    if (this.exists(id)) return;
    throw new StoreError(
      'corrupt-store',
      `the directory of layer ${id} is missing: ${this.diffDirectory(id)}`,
      {
        hint: 'remove the images that use the layer and pull or build them again',
      },
    );
  }

  install(id: string, _parent: string | undefined, staged: StagedTree, temporary: TemporaryDirectory): void {
    const final = join(this.#imageHome, 'dir', id);
    temporary.take(final);
    renameSync(staged.directory, final);
  }

  async create(
    id: string,
    parent: string | undefined,
    idMappings: IdMappings | undefined,
    shift: IdMappings | undefined,
  ): Promise<void> {
    const temporary = new TemporaryDirectory(this.temporaryRoots.at(-1)!);
    await using _temporary = temporary;
    const directory = temporary.next(id);
    await this.#startTree(directory, parent, idMappings);
    if (shift) shiftOwners(directory, shift);
    const final = join(this.#home, 'dir', id);
    temporary.take(final);
    renameSync(directory, final);
  }

  async stageFrom(id: string, temporary: TemporaryDirectory, options: StageFromOptions): Promise<StagedTree> {
    const { packLayer } = await import('../../layer/pack.ts');
    const { materializeDifference } = await import('./difference.ts');
    const tree = this.diffDirectory(id);
    const upper = temporary.next('difference');
    materializeDifference(tree, this.#treeOf(options.parent), upper);
    const result = await packLayer(upper, undefined, {
      whiteouts: 'overlay',
      overlayXattrPrefix: this.#overlayXattrPrefix(),
      ...packingOwners(),
      ...(options.idMappings ? { idMappings: options.idMappings } : {}),
      timestamp: options.timestamp,
      exclude: options.exclude,
      signal: options.signal,
    });
    // Its files are links to those of the tree, so their times change there too.
    await adjustTree(upper, { timestamp: options.timestamp });
    const directory = temporary.next();
    if (options.move) {
      const { uid, gid, mode } = statSync(tree);
      renameSync(tree, directory);
      mkdirSync(tree, { mode: 0o700 });
      if (process.geteuid?.() === 0) chownSync(tree, uid, gid);
      chmodSync(tree, mode & 0o7777);
    } else await copyTree(tree, directory, options.signal);
    const below = this.#treeOf(options.parent);
    const exclude = options.exclude?.filter((path) => !below || !existsSync(join(below, path)));
    await adjustTree(directory, { exclude, withAccessLists: result.withAccessLists });
    return { directory, result, hasRoot: true };
  }

  #overlayXattrPrefix(): 'trusted.' | 'user.' {
    return this.#rootless || process.geteuid?.() !== 0 ? 'user.' : 'trusted.';
  }

  #treeOf(id: string | undefined): string | undefined {
    return id === undefined ? undefined : this.diffDirectory(id);
  }

  remove(id: string, temporary: TemporaryDirectory): void {
    temporary.take(this.#ownDirectory(id));
  }

  empty(id: string): Promise<void> {
    return removeInPlace(this.#ownDirectory(id));
  }

  async mount(id: string): Promise<string> {
    this.#mustExist(id);
    return this.diffDirectory(id);
  }

  async unmount(): Promise<void> {}

  async changes(id: string, parent: string | undefined): Promise<readonly Change[]> {
    const { treeChanges } = await import('./difference.ts');
    return treeChanges(this.diffDirectory(id), this.#treeOf(parent));
  }

  async diff(id: string, parent: string | undefined, options: DiffOptions): Promise<Readable> {
    const { packStream } = await import('../pack-stream.ts');
    const { materializeDifference } = await import('./difference.ts');
    const temporary = new TemporaryDirectory(this.temporaryRoots[0]!);
    const upper = temporary.next('difference');
    materializeDifference(this.diffDirectory(id), this.#treeOf(parent), upper);
    const stream = await packStream(upper, {
      whiteouts: 'overlay',
      overlayXattrPrefix: this.#overlayXattrPrefix(),
      ...options,
      ...(options.idMappings ? { ownerOverrides: packingOwners().ownerOverrides } : packingOwners()),
    });
    stream.once('close', () => void temporary[Symbol.asyncDispose]());
    return stream;
  }

  tidy(): void {}

  shutdown(): void {}
}

function isDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
