import { copyFileSync, readFileSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Readable } from 'node:stream';
import { ifThere, isSystemError } from '../../errors.ts';
import type { Digest } from '../../image/digest.ts';
import { StoreError } from '../error.ts';
import { syncFileSystem } from '../kernel/sync.ts';
import type {
  CreateLayerOptions,
  LayerRecord,
  LayerStore,
  MountLayerOptions,
  StagedLayer,
  UnmountLayerOptions,
} from './contract.ts';
import type { Rows, WritableRows } from './database.ts';
import type { Change } from './driver.ts';
import { writeFileDurably } from './durable.ts';
import type { Foundation } from './foundation.ts';
import { reversed, storeIdMappings } from './id-mappings.ts';
import { checkId, randomId, timestamp, withoutDuplicates } from './ids.ts';
import { diffOf } from './layer-diff.ts';
import { layerIdOf } from './layer-id.ts';
import { mountLayer, unmountLayer } from './layer-mounts.ts';
import {
  deleteLayer,
  INCOMPLETE,
  layerDataPath,
  removeLayers,
  Trash,
  tarSplitPath,
} from './layer-removal.ts';
import { mappingsToApply, mustFind, noSuchLayer } from './layer-rows.ts';
import { compressionNumber, type LayerRow, layerRecord } from './records.ts';
import { shiftOwners } from './shift-owners.ts';
import { type StagedLayerTree, type StageOptions, stagedLayer, stageTar } from './staged-layer.ts';
import { TemporaryDirectory } from './temporary-directory.ts';

/** Layers of a store, in its own rows and those of additional read-only stores. */
export class StorageLayers implements LayerStore {
  readonly #foundation: Foundation;

  constructor(foundation: Foundation) {
    this.#foundation = foundation;
  }

  get stagesWithoutParent(): boolean {
    return this.#foundation.driver.stagesWithoutParent;
  }

  async list(): Promise<readonly LayerRecord[]> {
    return await this.#select(() => true);
  }

  childrenOf(id: string | undefined): Promise<readonly LayerRecord[]> {
    return this.#select((row) => (row.parent || undefined) === id);
  }

  async get(idOrName: string): Promise<LayerRecord | undefined> {
    for (const { layers } of this.#stores()) {
      const found = await layers.read((rows) => {
        const row = rows.find(idOrName);
        return row && layerRecord(row, layers.readOnly);
      });
      if (found) return found;
    }
    return undefined;
  }

  byDiffId(digest: Digest): Promise<readonly LayerRecord[]> {
    return this.#select((row) => row['diff-digest'] === digest);
  }

  byCompressedDigest(digest: Digest): Promise<readonly LayerRecord[]> {
    return this.#select((row) => row['compressed-diff-digest'] === digest);
  }

  byTocDigest(digest: Digest): Promise<readonly LayerRecord[]> {
    return this.#select((row) => row['toc-digest'] === digest);
  }

  #stores() {
    return [this.#foundation, ...this.#foundation.additional];
  }

  async #select(wanted: (row: LayerRow) => boolean): Promise<LayerRecord[]> {
    const found: LayerRecord[] = [];
    for (const { layers } of this.#stores())
      found.push(
        ...(await layers.read((rows) =>
          rows.all.filter(wanted).map((row) => layerRecord(row, layers.readOnly)),
        )),
      );
    return found;
  }

  async create(options: CreateLayerOptions): Promise<LayerRecord> {
    await using trash = new Trash(this.#foundation);
    const parent = await this.#parent(options.parent);
    return await this.#foundation.layers.write((rows) => this.createIn(rows, options, parent, trash));
  }

  /** As {@link create}, for a caller that holds the rows. */
  async createIn(
    rows: WritableRows<LayerRow>,
    options: CreateLayerOptions & { readonly volatile?: boolean },
    parent: LayerRecord | undefined,
    trash: Trash,
  ): Promise<LayerRecord> {
    const { driver, layerFiles, places } = this.#foundation;
    const id = checkId(options.id ?? randomId());
    this.#checkFree(rows, id, options.names);
    const row = this.#newRow(id, parent?.id, options);
    rows.add(row, options.volatile || places.transient ? layerFiles.volatile : layerFiles.stable);
    rows.save();
    try {
      const parentRow = parent && rows.byId(parent.id);
      await driver.create(id, parent?.id, options.idMappings, mappingsToApply(row, parentRow));
      return this.#complete(rows, row);
    } catch (error) {
      await removeLayers(this.#foundation, rows, [row], trash);
      throw error;
    }
  }

  #newRow(id: string, parent: string | undefined, options: CreateLayerOptions): LayerRow {
    return {
      id,
      ...(options.names?.length ? { names: withoutDuplicates(options.names) } : {}),
      ...(parent ? { parent } : {}),
      ...(options.mountLabel ? { mountlabel: options.mountLabel } : {}),
      created: timestamp(this.#foundation.now()),
      flags: { [INCOMPLETE]: true },
      ...storeIdMappings(options.idMappings),
    };
  }

  #complete(rows: WritableRows<LayerRow>, row: LayerRow): LayerRecord {
    delete row.flags?.[INCOMPLETE];
    if (row.flags && Object.keys(row.flags).length === 0) delete row.flags;
    rows.touch(row);
    this.#syncFilesystem();
    rows.save();
    return layerRecord(row, false);
  }

  /** `sync=filesystem`: the files of a layer are on disk before its record says that it is complete. */
  #syncFilesystem(): void {
    const { driver, layerFiles } = this.#foundation;
    if (!driver.syncsFilesystem) return;
    for (const directory of new Set([layerFiles.stable, layerFiles.images].map(({ path }) => dirname(path))))
      syncFileSystem(directory);
  }

  #checkFree(rows: Rows<LayerRow>, id: string, names: readonly string[] = []): void {
    if (rows.byId(id)) throw new StoreError('name-in-use', `a layer with ID ${id} already exists`);
    const taken = names.find((name) => rows.byName(name));
    if (taken)
      throw new StoreError('name-in-use', `the layer name ${JSON.stringify(taken)} is already in use`);
  }

  async #parent(idOrName: string | undefined): Promise<LayerRecord | undefined> {
    if (!idOrName) return undefined;
    const parent = await this.get(idOrName);
    if (!parent) throw noSuchLayer(idOrName);
    return parent;
  }

  async createFromTar(
    options: CreateLayerOptions,
    tar: Readable,
    expected: Parameters<LayerStore['createFromTar']>[2] = {},
  ): Promise<LayerRecord> {
    const parent = await this.#parent(options.parent);
    await using staged = await stageTar(this.#foundation.driver, tar, {
      parent: parent?.id,
      idMappings: options.idMappings,
      expected,
      signal: expected.signal,
    });
    return await this.createFromStaged(
      { ...options, parent: parent?.id },
      { ...staged, ...expected.recordAs },
    );
  }

  stageTar(tar: Readable, options: StageOptions = {}): Promise<StagedLayer> {
    return stageTar(this.#foundation.driver, tar, options);
  }

  async createFromStaged(options: CreateLayerOptions, staged: StagedLayer): Promise<LayerRecord> {
    const { tree, temporary } = staged as StagedLayerTree;
    if (tree === undefined) throw new Error('this staged layer comes from another store');
    const parent = await this.#parent(options.parent);
    const id = checkId(options.id ?? layerIdOf(parent?.id, staged));
    const tarSplit = temporary.next('tar-split');
    writeFileDurably(tarSplit, tree.result.tarSplit);
    await using trash = new Trash(this.#foundation);
    return await this.#foundation.layers.write(async (rows) => {
      const existing = rows.byId(id);
      if (existing) return reuse(existing, staged);
      if (parent && !parent.readOnly && !rows.byId(parent.id)) throw noSuchLayer(parent.id);
      this.#checkFree(rows, id, options.names);
      const row: LayerRow = {
        ...this.#newRow(id, parent?.id, options),
        ...describe(staged as StagedLayerTree),
      };
      rows.add(row, this.#foundation.layerFiles.images);
      rows.save();
      try {
        this.#foundation.driver.install(id, parent?.id, tree, temporary);
        moveFile(tarSplit, tarSplitPath(this.#foundation, id));
        return this.#complete(rows, row);
      } catch (error) {
        await removeLayers(this.#foundation, rows, [row], trash);
        throw error;
      }
    });
  }

  async commitFrom(
    containerLayerId: string,
    options: Parameters<LayerStore['commitFrom']>[1],
  ): Promise<LayerRecord> {
    const layer = await this.get(containerLayerId);
    if (!layer) throw noSuchLayer(containerLayerId);
    const parent = await this.#parent(options.parent ?? layer.parent);
    if (options.windows) {
      const { timestamp, exclude, windows, signal } = options;
      const asked = { timestamp, exclude, windows, signal, idMappings: layer.idMappings };
      const tar = await this.#foundation.driver.diff(layer.id, layer.parent, asked);
      return await this.createFromTar({ ...options, parent: parent?.id }, tar, { signal });
    }
    // A mounted layer keeps using its upper directory, which must not go away under it.
    const move = options.move && (await this.mounted(layer.id)) === 0;
    const temporary = new TemporaryDirectory(this.#foundation.driver.temporaryRoots[0]!);
    await using _temporary = temporary;
    const tree = await this.#foundation.driver.stageFrom(layer.id, temporary, {
      ...options,
      move,
      parent: layer.parent,
      idMappings: layer.idMappings,
    });
    if (layer.idMappings) shiftOwners(tree.directory, reversed(layer.idMappings));
    const staged = stagedLayer(tree, temporary, {
      compression: 'none',
      compressedDigest: tree.result.diffId,
      compressedSize: tree.result.sizeBytes,
    });
    return await this.createFromStaged({ ...options, parent: parent?.id }, staged);
  }

  async diff(
    id: string,
    options: { readonly from?: string; readonly signal?: AbortSignal } = {},
  ): Promise<{ readonly stream: Readable; readonly sizeBytes?: number }> {
    return await diffOf(this.#foundation, await this.#mustGet(id), options);
  }

  async changes(id: string, from?: string): Promise<readonly Change[]> {
    const layer = await this.#mustGet(id);
    if (from !== undefined && from !== (layer.parent ?? ''))
      throw new StoreError(
        'unsupported',
        `changes of layer ${layer.id} against ${from}, which is not its parent`,
      );
    return await this.#foundation.driver.changes(layer.id, layer.parent);
  }

  mount(id: string, options: MountLayerOptions = {}): Promise<string> {
    return mountLayer(this.#foundation, id, options);
  }

  unmount(id: string, options: UnmountLayerOptions = {}): Promise<boolean> {
    return unmountLayer(this.#foundation, id, options);
  }

  async mounted(id: string): Promise<number> {
    return (await this.#foundation.mounts.get((await this.#mustGet(id)).id))?.count ?? 0;
  }

  async mountPoint(id: string): Promise<string | undefined> {
    return (await this.#foundation.mounts.get((await this.#mustGet(id)).id))?.path;
  }

  async diffDirectory(id: string): Promise<string> {
    return this.#foundation.driver.diffDirectory((await this.#mustGet(id)).id);
  }

  async setNames(id: string, names: readonly string[]): Promise<void> {
    await this.#foundation.layers.write((rows) => {
      rows.rename(mustFind(rows, id), withoutDuplicates(names));
      rows.save();
    });
  }

  delete(id: string): Promise<void> {
    return deleteLayer(this.#foundation, id);
  }

  async bigData(id: string, key: string): Promise<Uint8Array | undefined> {
    return await this.#foundation.layers.read((rows) => {
      const path = layerDataPath(this.#foundation, mustFind(rows, id).id, key);
      return ifThere(() => readFileSync(path), 'ENOENT');
    });
  }

  async setBigData(id: string, key: string, data: Uint8Array): Promise<void> {
    await this.#foundation.layers.write((rows) => {
      const row = mustFind(rows, id);
      writeFileDurably(layerDataPath(this.#foundation, row.id, key), data);
      if (row['big-data-names']?.includes(key)) return;
      row['big-data-names'] = [...(row['big-data-names'] ?? []), key];
      rows.touch(row);
      rows.save();
    });
  }

  async #mustGet(idOrName: string): Promise<LayerRecord> {
    const layer = await this.get(idOrName);
    if (!layer) throw noSuchLayer(idOrName);
    return layer;
  }
}

/** The id stands for contents and parent, so a layer that is there already will do, if it is what its id says. */
function reuse(existing: LayerRow, staged: StagedLayer): LayerRecord {
  if (existing['diff-digest'] !== undefined && existing['diff-digest'] !== staged.diffId)
    throw new StoreError('name-in-use', `a layer with ID ${existing.id} already exists with other contents`);
  return layerRecord(existing, false);
}

function describe(staged: StagedLayerTree): Partial<LayerRow> {
  const { result } = staged.tree;
  const compression = compressionNumber(staged.compression);
  return {
    'compressed-diff-digest': staged.compressedDigest,
    'compressed-size': staged.compressedSize,
    'diff-digest': staged.diffId,
    'diff-size': staged.diffSize,
    ...(compression === 0 ? {} : { compression }),
    uidset: [...result.uids].sort((a, b) => a - b),
    gidset: [...result.gids].sort((a, b) => a - b),
    ...storeIdMappings(staged.idMappings),
  };
}

/** Podman and Buildah mount the driver's directory on itself, which makes it another file system for rename(2). */
function moveFile(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (!isSystemError(error, 'EXDEV')) throw error;
    copyFileSync(from, to);
  }
}
