import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { isSystemError } from '../../../errors.ts';
import { StoreError } from '../../error.ts';
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
import { hostIds, rootIds } from '../id-mappings.ts';
import { isMountPoint } from '../mount-table.ts';
import type { TemporaryDirectory } from '../temporary-directory.ts';
import {
  makeLink,
  NOT_LAYERS,
  randomLinkName,
  readLinkName,
  readLowers,
  removeDanglingLinks,
  repairLinks,
} from './links.ts';
import { mapHomes } from './mapped-home.ts';
import { mountOverlay, unmountOverlay } from './mount.ts';

/** Mode of a root directory that nothing says anything about. */
const DEFAULT_MODE = 0o555;
/** A mode no changeset gives its root directory; where it is still there after unpacking, the changeset had no root entry. */
const UNTOUCHED_MODE = 0o3001;
const LOWER_LIMIT = 500;

/** The overlay driver: `<home>/<id>/{diff,link,lower,merged,work,empty}`, as containers/storage drivers/overlay. */
export class OverlayDriver implements GraphDriver {
  readonly name = 'overlay';
  readonly stagesWithoutParent = true;
  readonly additionalStores: readonly string[];
  readonly temporaryRoots: readonly string[];
  readonly #home: string;
  readonly #imageHome: string;
  readonly #runHome: string;
  readonly #options: DriverOptions;
  readonly #rootless: boolean;
  #hasMounted = false;

  constructor(settings: DriverSettings) {
    this.#home = join(settings.graphRoot, 'overlay');
    this.#imageHome = settings.imageStore === undefined ? this.#home : join(settings.imageStore, 'overlay');
    this.#runHome = join(settings.runRoot, 'overlay');
    this.#options = parseDriverOptions('overlay', settings.options);
    this.#rootless = settings.rootless;
    this.additionalStores = this.#options.additionalStores;
    this.temporaryRoots = [...new Set([this.#imageHome, this.#home])].map((home) => join(home, 'tempdirs'));
    for (const home of new Set([this.#home, this.#imageHome]))
      mkdirSync(join(home, 'l'), { recursive: true });
    mkdirSync(this.#runHome, { recursive: true, mode: 0o700 });
  }

  get hasMounted(): boolean {
    return this.#hasMounted;
  }

  exists(id: string): boolean {
    return existsSync(this.#directory(id));
  }

  diffDirectory(id: string): string {
    return join(this.#directory(id), 'diff');
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
    if (!staged.hasRoot) this.#dressRoot(staged.directory, parent, undefined);
    this.#place(
      id,
      parent,
      undefined,
      temporary,
      (diff) => renameSync(staged.directory, diff),
      this.#imageHome,
    );
  }

  async create(
    id: string,
    parent: string | undefined,
    idMappings: IdMappings | undefined,
    shift: IdMappings | undefined,
  ): Promise<void> {
    this.#place(id, parent, idMappings, undefined, (diff) => {
      mkdirSync(diff, { mode: 0o700 });
      this.#dressRoot(diff, parent, parent === undefined ? idMappings : shift);
    });
  }

  /** Builds the layer's directory beside its place and renames it there, so that it is never seen half made. */
  #place(
    id: string,
    parent: string | undefined,
    idMappings: IdMappings | undefined,
    temporary: TemporaryDirectory | undefined,
    fillDiff: (diff: string) => void,
    home = this.#home,
  ): void {
    const final = join(home, id);
    if (existsSync(final)) this.#removeLeftover(id, final, temporary);
    const lower = parent === undefined ? undefined : this.#lowerOf(parent);
    const directory = temporary === undefined ? final : temporary.next(id);
    const owner = rootIds(idMappings);
    const make = (name: string) => {
      mkdirSync(join(directory, name), { mode: 0o700 });
      this.#chown(join(directory, name), owner);
    };
    mkdirSync(directory, { mode: 0o700 });
    this.#chown(directory, owner);
    fillDiff(join(directory, 'diff'));
    const link = randomLinkName();
    makeLink(home, id, link);
    writeFileSync(join(directory, 'link'), link, { mode: 0o644 });
    make('work');
    make('merged');
    if (lower === undefined) make('empty');
    else writeFileSync(join(directory, 'lower'), lower, { mode: 0o644 });
    if (directory !== final) renameSync(directory, final);
  }

  #removeLeftover(id: string, final: string, temporary: TemporaryDirectory | undefined): void {
    if (temporary === undefined) {
      const link = readLinkName(final);
      if (link) rmSync(join(dirname(final), 'l', link), { force: true });
      rmSync(final, { recursive: true, force: true });
    } else this.remove(id, temporary);
  }

  #chown(path: string, owner: { uid: number; gid: number }): void {
    if (owner.uid !== 0 || owner.gid !== 0) chownSync(path, owner.uid, owner.gid);
  }

  /** The root of a layer looks like that of its parent. */
  #dressRoot(directory: string, parent: string | undefined, idMappings: IdMappings | undefined): void {
    if (parent === undefined) {
      this.#chown(directory, rootIds(idMappings));
      chmodSync(directory, DEFAULT_MODE);
      return;
    }
    const model = statSync(this.diffDirectory(parent));
    const { uid, gid } = hostIds(idMappings, model);
    const own = statSync(directory);
    if (own.uid !== uid || own.gid !== gid) chownSync(directory, uid, gid);
    chmodSync(directory, model.mode & 0o7777);
  }

  #lowerOf(parent: string): string {
    const directory = this.#directory(parent);
    if (!existsSync(directory))
      throw new StoreError('corrupt-store', `the directory of layer ${parent} is missing: ${directory}`, {
        hint: 'remove the images that use the layer and pull or build them again',
      });
    let link = readLinkName(directory);
    if (!link) {
      repairLinks(dirname(directory));
      link = readLinkName(directory);
    }
    if (!link) throw new StoreError('corrupt-store', `layer ${parent} has no link file in ${directory}`);
    return [`l/${link}`, ...readLowers(directory)].join(':');
  }

  async stageFrom(id: string, temporary: TemporaryDirectory, options: StageFromOptions): Promise<StagedTree> {
    const { packLayer } = await import('../../layer/pack.ts');
    const upper = this.diffDirectory(id);
    const directory = temporary.next();
    const packing = packLayer(upper, undefined, {
      whiteouts: 'overlay',
      overlayXattrPrefix: this.#xattrPrefix(),
      lowerDirectories: this.lowerDirectories(id),
      idMappings: options.idMappings,
      timestamp: options.timestamp,
      exclude: options.exclude,
      signal: options.signal,
    });
    if (options.move) {
      const result = await packing;
      this.#moveUpper(id, upper, directory);
      await adjustTree(directory, options);
      return { directory, result, hasRoot: true };
    }
    const [result] = await Promise.all([packing, copyTree(upper, directory, options.signal)]);
    await adjustTree(directory, options);
    return { directory, result, hasRoot: true };
  }

  #moveUpper(id: string, upper: string, directory: string): void {
    renameSync(upper, directory);
    const model = statSync(directory);
    mkdirSync(upper, { mode: 0o700 });
    chownSync(upper, model.uid, model.gid);
    chmodSync(upper, model.mode & 0o7777);
    // The work directory may refer to the upper directory that is gone.
    const work = join(this.#directory(id), 'work');
    rmSync(work, { recursive: true, force: true });
    mkdirSync(work, { mode: 0o700 });
    chownSync(work, model.uid, model.gid);
  }

  remove(id: string, temporary: TemporaryDirectory): void {
    const directory = this.#directory(id);
    const link = readLinkName(directory);
    if (link) rmSync(join(dirname(directory), 'l', basename(link)), { force: true });
    if (temporary.take(directory)) return;
  }

  async mount(id: string, options: MountOptions): Promise<string> {
    const directory = this.#directory(id);
    const inOtherStore = dirname(directory) !== this.#home && dirname(directory) !== this.#imageHome;
    const target = this.#mergedDirectory(id, directory, inOtherStore);
    mkdirSync(target, { recursive: true, mode: 0o700 });
    this.#hasMounted = true;
    this.#makeHomePrivate();
    const words = this.#mountWords(options);
    const readOnly = inOtherStore || options.readOnly === true || words.includes('ro');
    const lowers = this.#resolveLowers(directory);
    const extra = this.#extraDiffs(directory);
    rmSync(join(directory, 'work', 'work', 'incompat', 'volatile'), { recursive: true, force: true });
    using mapped = options.idMappings
      ? await mapHomes(directory, this.#homes(), options.idMappings)
      : undefined;
    const below = [...extra, ...lowers].map((path) =>
      mapped ? mapped.place(path.startsWith('/') ? path : join(this.#home, path)) : path,
    );
    await mountOverlay({
      home: this.#home,
      target,
      lowers: readOnly ? [this.#relative(join(directory, 'diff')), ...below] : below,
      ...(readOnly
        ? {}
        : { upper: this.#relative(join(directory, 'diff')), work: this.#relative(join(directory, 'work')) }),
      options: words,
      mountLabel: options.mountLabel,
      mountProgram: this.#options.mountProgram,
    });
    return target;
  }

  #homes(): string[] {
    const others = this.additionalStores.map((store) => join(store, 'overlay'));
    return [...new Set([this.#home, this.#imageHome, ...others])];
  }

  #relative(path: string): string {
    return path.startsWith(`${this.#home}/`) ? path.slice(this.#home.length + 1) : path;
  }

  #mergedDirectory(id: string, directory: string, inOtherStore: boolean): string {
    return inOtherStore ? join(this.#runHome, id, 'merged') : join(directory, 'merged');
  }

  #mountWords(options: MountOptions): string[] {
    const words = [...(options.options ?? this.#options.mountOptions)].filter(
      (word) => word !== 'metacopy=on',
    );
    if (this.#rootless && this.#options.mountProgram === undefined && !words.includes('userxattr'))
      words.push('userxattr');
    return words;
  }

  /** The lowers of a layer as paths for the mount: short links below home, else below the other stores. */
  #resolveLowers(directory: string): string[] {
    const lowers = readLowers(directory);
    if (lowers.length > LOWER_LIMIT)
      throw new StoreError('unsupported', `${directory} has more than ${LOWER_LIMIT} lower layers`);
    if (lowers.length === 0) {
      mkdirSync(join(directory, 'empty'), { recursive: true, mode: 0o700 });
      return [this.#relative(join(directory, 'empty'))];
    }
    return lowers.flatMap((lower) => {
      const path = this.#findLower(lower);
      const layer = dirname(join(dirname(path), readlinkSync(path)));
      return [this.#relative(path), ...this.#extraDiffs(layer)];
    });
  }

  #findLower(lower: string): string {
    const homes = this.#homes();
    for (let attempt = 0; attempt < 2; attempt += 1) {
      for (const home of homes) {
        const path = join(home, 'l', basename(lower));
        if (existsSync(path)) return path;
      }
      if (attempt === 0) repairLinks(this.#home);
    }
    throw new StoreError('corrupt-store', `the lower layer ${lower} is missing below ${this.#home}`, {
      hint: 'remove the images that use the layer and pull or build them again',
    });
  }

  /** `diff1`, `diff2`…: what the original leaves below when it maps ids by changing owners. */
  #extraDiffs(layerDirectory: string): string[] {
    const found: string[] = [];
    for (let number = 1; existsSync(join(layerDirectory, `diff${number}`)); number += 1)
      found.push(this.#relative(join(layerDirectory, `diff${number}`)));
    return found;
  }

  async unmount(id: string): Promise<void> {
    const directory = this.#directory(id);
    this.#hasMounted = true;
    if (!existsSync(directory)) return;
    const inOtherStore = dirname(directory) !== this.#home && dirname(directory) !== this.#imageHome;
    const target = this.#mergedDirectory(id, directory, inOtherStore);
    await unmountOverlay(target, this.#options.mountProgram);
    if (inOtherStore) rmSync(dirname(target), { recursive: true, force: true });
  }

  async changes(id: string, parent: string | undefined): Promise<readonly Change[]> {
    const { overlayChanges } = await import('./changes.ts');
    return overlayChanges(
      this.diffDirectory(id),
      parent === undefined ? [] : this.lowerDirectories(id),
      this.#xattrPrefix(),
    );
  }

  /** The diff directories below a layer, uppermost first. */
  lowerDirectories(id: string): string[] {
    return readLowers(this.#directory(id)).map((lower) => {
      const path = this.#findLower(lower);
      return join(dirname(path), readlinkSync(path));
    });
  }

  async diff(id: string, _parent: string | undefined, options: DiffOptions): Promise<Readable> {
    const { packStream } = await import('../pack-stream.ts');
    return packStream(this.diffDirectory(id), {
      whiteouts: 'overlay',
      overlayXattrPrefix: this.#xattrPrefix(),
      lowerDirectories: this.lowerDirectories(id),
      idMappings: options.idMappings,
      signal: options.signal,
    });
  }

  #directory(id: string): string {
    const own = join(this.#home, id);
    if (isDirectory(own)) return own;
    const elsewhere = [this.#imageHome, ...this.additionalStores.map((store) => join(store, 'overlay'))];
    return elsewhere.map((home) => join(home, id)).find(isDirectory) ?? own;
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
    for (const home of new Set([this.#home, this.#imageHome])) removeDanglingLinks(home);
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

function isDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
