import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { isSystemError } from '../../../errors.ts';
import { MNT, MS, mount, unmount } from '../../kernel/mount.ts';
import type { ApplyOptions, IdMappings } from '../../layer/contract.ts';
import { adjustTree } from '../adjust-tree.ts';
import { copyTree } from '../copy-tree.ts';
import type {
  Change,
  DiffOptions,
  DriverSettings,
  GraphDriver,
  MountOptions,
  StagedTree,
  StageFromOptions,
} from '../driver.ts';
import { type DriverOptions, parseDriverOptions } from '../driver-options.ts';
import { removeInPlace } from '../make-room.ts';
import { isMountPoint } from '../mount-table.ts';
import type { TemporaryDirectory } from '../temporary-directory.ts';
import { dressRoot, makeLayerDirectory, takeDiff } from './layer-directory.ts';
import { LayerPlaces } from './layer-places.ts';
import { NOT_LAYERS, readLinkName, removeDanglingLinks } from './links.ts';
import { mapHomes } from './mapped-home.ts';
import { mountOverlay, unmountOverlay } from './mount.ts';

/** A mode no changeset gives its root directory; where it is still there after unpacking, the changeset had no root entry. */
const UNTOUCHED_MODE = 0o3001;

/** The overlay driver: `<home>/<id>/{diff,link,lower,merged,work,empty}`, as containers/storage drivers/overlay. */
export class OverlayDriver implements GraphDriver {
  readonly name = 'overlay';
  readonly stagesWithoutParent = true;
  readonly additionalStores: readonly string[];
  readonly temporaryRoots: readonly string[];
  readonly #home: string;
  readonly #places: LayerPlaces;
  readonly #runHome: string;
  readonly #options: DriverOptions;
  readonly #rootless: boolean;
  #hasMounted = false;

  constructor(settings: DriverSettings) {
    this.#home = join(settings.graphRoot, 'overlay');
    this.#runHome = join(settings.runRoot, 'overlay');
    this.#options = parseDriverOptions('overlay', settings.options);
    this.#rootless = settings.rootless;
    this.additionalStores = this.#options.additionalStores;
    const imageHome = settings.imageStore === undefined ? this.#home : join(settings.imageStore, 'overlay');
    this.#places = new LayerPlaces(this.#home, imageHome, this.additionalStores);
    this.temporaryRoots = [...new Set([imageHome, this.#home])].map((home) => join(home, 'tempdirs'));
    for (const home of this.#places.ownHomes) mkdirSync(join(home, 'l'), { recursive: true });
    mkdirSync(this.#runHome, { recursive: true, mode: 0o700 });
  }

  get hasMounted(): boolean {
    return this.#hasMounted;
  }

  get syncsFilesystem(): boolean {
    return this.#options.syncFilesystem;
  }

  exists(id: string): boolean {
    return existsSync(this.#places.directory(id));
  }

  diffDirectory(id: string): string {
    return join(this.#places.directory(id), 'diff');
  }

  list(): string[] {
    return readdirSync(this.#home, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !NOT_LAYERS.has(entry.name))
      .map((entry) => entry.name);
  }

  async stage(
    tar: Readable,
    temporary: TemporaryDirectory,
    options: { readonly idMappings?: IdMappings; readonly signal?: AbortSignal },
  ): Promise<StagedTree> {
    const { applyLayer } = await import('../../layer/apply.ts');
    const directory = temporary.next();
    mkdirSync(directory, { mode: 0o700 });
    chmodSync(directory, UNTOUCHED_MODE);
    const result = await applyLayer(directory, tar, { ...this.#applyOptions(), ...options });
    const hasRoot = (statSync(directory).mode & 0o7777) !== UNTOUCHED_MODE;
    return { directory, result, hasRoot };
  }

  #applyOptions(): ApplyOptions {
    return {
      whiteouts: 'overlay',
      inUserNamespace: this.#rootless,
      ignoreChownErrors: this.#options.ignoreChownErrors,
      overlayXattrPrefix: this.#xattrPrefix(),
    };
  }

  #xattrPrefix(): 'trusted.' | 'user.' {
    return this.#rootless ? 'user.' : 'trusted.';
  }

  install(id: string, parent: string | undefined, staged: StagedTree, temporary: TemporaryDirectory): void {
    const home = this.#places.imageHome;
    if (!staged.hasRoot) dressRoot(staged.directory, this.#modelFor(parent), undefined);
    if (existsSync(join(home, id))) this.remove(id, temporary);
    makeLayerDirectory({
      home,
      id,
      lower: this.#lowerAbove(parent),
      idMappings: undefined,
      workshop: temporary.next(id),
      fillDiff: (diff) => renameSync(staged.directory, diff),
    });
  }

  async create(
    id: string,
    parent: string | undefined,
    idMappings: IdMappings | undefined,
    shift: IdMappings | undefined,
  ): Promise<void> {
    this.#removeLeftover(join(this.#home, id));
    makeLayerDirectory({
      home: this.#home,
      id,
      lower: this.#lowerAbove(parent),
      idMappings,
      fillDiff: (diff) => {
        mkdirSync(diff, { mode: 0o700 });
        dressRoot(diff, this.#modelFor(parent), parent === undefined ? idMappings : shift);
      },
    });
  }

  #modelFor(parent: string | undefined): string | undefined {
    return parent === undefined ? undefined : this.diffDirectory(parent);
  }

  #lowerAbove(parent: string | undefined): string | undefined {
    return parent === undefined ? undefined : this.#places.lowerFileAbove(parent);
  }

  #removeLeftover(directory: string): void {
    const link = readLinkName(directory);
    if (link) rmSync(join(dirname(directory), 'l', basename(link)), { force: true });
    rmSync(directory, { recursive: true, force: true });
  }

  async stageFrom(id: string, temporary: TemporaryDirectory, options: StageFromOptions): Promise<StagedTree> {
    const { packLayer } = await import('../../layer/pack.ts');
    const upper = this.diffDirectory(id);
    const directory = temporary.next();
    const packing = packLayer(upper, undefined, {
      whiteouts: 'overlay',
      overlayXattrPrefix: this.#xattrPrefix(),
      lowerDirectories: this.#places.lowerDirectories(id),
      // With ids of its own a container sees the layers below by other owners than they have on disk.
      omitUnchanged: options.idMappings === undefined,
      idMappings: options.idMappings,
      timestamp: options.timestamp,
      exclude: options.exclude,
      signal: options.signal,
    });
    if (options.move) {
      await packing;
      takeDiff(this.#places.directory(id), directory);
    } else await Promise.all([packing, copyTree(upper, directory, options.signal)]);
    const result = await packing;
    await adjustTree(directory, {
      timestamp: options.timestamp,
      exclude: [...(options.exclude ?? []), ...result.unchanged],
      withAccessLists: result.withAccessLists,
    });
    return { directory, result, hasRoot: true };
  }

  remove(id: string, temporary: TemporaryDirectory): void {
    const directory = this.#places.ownDirectory(id);
    const link = readLinkName(directory);
    if (link) rmSync(join(dirname(directory), 'l', basename(link)), { force: true });
    temporary.take(directory);
  }

  empty(id: string): Promise<void> {
    return removeInPlace(join(this.#places.ownDirectory(id), 'diff'));
  }

  async mount(id: string, options: MountOptions): Promise<string> {
    const directory = this.#places.directory(id);
    const target = this.#mountPoint(id, directory);
    mkdirSync(target, { recursive: true, mode: 0o700 });
    this.#hasMounted = true;
    this.#makeHomePrivate();
    const words = this.#mountWords(options);
    const readOnly = this.#places.isLent(directory) || options.readOnly === true || words.includes('ro');
    const volatile = !readOnly && options.volatile === true && !this.#options.syncFilesystem;
    const lowers = this.#places.lowersForMount(directory);
    const own = (name: string) => this.#places.relative(join(directory, name));
    rmSync(join(directory, 'work', 'work', 'incompat', 'volatile'), { recursive: true, force: true });
    using mapped = options.idMappings && (await mapHomes(directory, this.#places.homes, options.idMappings));
    const below = mapped ? lowers.map((path) => mapped.place(this.#absolute(path))) : lowers;
    await mountOverlay({
      home: this.#home,
      target,
      ...(readOnly
        ? { lowers: [own('diff'), ...below] }
        : { lowers: below, upper: own('diff'), work: own('work') }),
      options: words,
      volatile,
      mountLabel: options.mountLabel,
      mountProgram: this.#options.mountProgram,
    });
    return target;
  }

  #absolute(path: string): string {
    return path.startsWith('/') ? path : join(this.#home, path);
  }

  /** Layers of other stores are mounted in the run root, where nobody else mounts. */
  #mountPoint(id: string, directory: string): string {
    return this.#places.isLent(directory) ? join(this.#runHome, id, 'merged') : join(directory, 'merged');
  }

  #mountWords(options: MountOptions): string[] {
    const words = [...(options.options ?? this.#options.mountOptions)].filter(
      (word) => word !== 'metacopy=on',
    );
    if (this.#rootless && this.#options.mountProgram === undefined && !words.includes('userxattr'))
      words.push('userxattr');
    return words;
  }

  async unmount(id: string): Promise<void> {
    const directory = this.#places.directory(id);
    this.#hasMounted = true;
    if (!existsSync(directory)) return;
    const target = this.#mountPoint(id, directory);
    await unmountOverlay(target, this.#options.mountProgram);
    if (this.#places.isLent(directory)) rmSync(dirname(target), { recursive: true, force: true });
  }

  async changes(id: string, parent: string | undefined): Promise<readonly Change[]> {
    const { overlayChanges } = await import('./changes.ts');
    return overlayChanges(
      this.diffDirectory(id),
      parent === undefined ? [] : this.#places.lowerDirectories(id),
      this.#xattrPrefix(),
    );
  }

  async diff(id: string, _parent: string | undefined, options: DiffOptions): Promise<Readable> {
    const { packStream } = await import('../pack-stream.ts');
    return packStream(this.diffDirectory(id), {
      whiteouts: 'overlay',
      overlayXattrPrefix: this.#xattrPrefix(),
      lowerDirectories: this.#places.lowerDirectories(id),
      ...options,
    });
  }

  /**
   * Binds the home on itself, privately, before the first mount below it. Podman and Buildah do the same, and what was
   * mounted before would vanish below their bind.
   */
  #makeHomePrivate(): void {
    if (this.#options.skipMountHome) return;
    if (isMountPoint(this.#home)) return;
    mount(this.#home, this.#home, undefined, MS.bind);
    mount(undefined, this.#home, undefined, MS.private);
  }

  tidy(): void {
    for (const home of this.#places.ownHomes) removeDanglingLinks(home);
  }

  shutdown(): void {
    if (this.#options.skipMountHome || !isMountPoint(this.#home)) return;
    try {
      unmount(this.#home, MNT.detach);
    } catch (error) {
      if (!isSystemError(error, 'EBUSY', 'EINVAL')) throw error;
    }
  }
}
