import { existsSync, readFileSync, statfsSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { makeDirectories } from '../../config/make-directories.ts';
import { StoreError } from '../error.ts';
import type { Store } from './contract.ts';
import type { GraphDriver } from './driver.ts';
import { parseDriverOptions } from './driver-options.ts';
import { type Foundation, openFoundation } from './foundation.ts';
import { isIncomplete, metadataTemporaryRoot, removeLayers, Trash } from './layer-removal.ts';
import { lockFileAt } from './lock-file.ts';
import { removeStaleTemporaryDirectories } from './temporary-directory.ts';

/** What a store is opened with; config/storage.ts makes it from storage.conf, environment and flags. */
export interface StoreOptions {
  /** Absolute. */
  readonly graphRoot: string;
  /** Absolute. */
  readonly runRoot: string;
  /** `overlay`, `overlay2` (the same) or `vfs`. Absent: what the store was made with, else what works here. */
  readonly driver?: string;
  /** Order in which drivers are tried where {@link driver} is absent. */
  readonly driverPriority?: readonly string[];
  /** `overlay.mountopt=nodev` and its like. */
  readonly driverOptions?: readonly string[];
  /** A separate graph root for images. */
  readonly imageStore?: string;
  readonly transient?: boolean;
  readonly disableVolatile?: boolean;
  /** This process works with mapped ids, in a user namespace. */
  readonly rootless?: boolean;
  /** Default: the system's clock. */
  readonly now?: () => Date;
}

/**
 * Opens the store at a graph root, making it where there is none.
 * @throws StoreError `bad-config`, `unsupported-driver`, `corrupt-store`, `system`
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  for (const path of [options.graphRoot, options.runRoot])
    if (!isAbsolute(path))
      throw new StoreError('bad-config', `the storage path ${JSON.stringify(path)} is not absolute`);
  const graphRoot = resolve(options.graphRoot);
  const runRoot = resolve(options.runRoot);
  makeRoot(graphRoot);
  makeRoot(runRoot);
  if (options.imageStore) makeRoot(options.imageStore);
  const driverName = chooseDriver(graphRoot, options);
  makeRoot(join(graphRoot, driverName));
  const imageStore = options.imageStore || undefined;
  const driver = await makeDriver(driverName, { ...options, graphRoot, runRoot, imageStore });
  const foundation: Foundation = openFoundation(
    {
      graphRoot,
      runRoot,
      driverName,
      imageStore,
      transient: options.transient ?? false,
      disableVolatile: options.disableVolatile ?? false,
    },
    driver,
    options.now ?? (() => new Date()),
    {
      needsRepair: (rows) => rows.all.some(isIncomplete),
      repair: async (rows) => {
        await using trash = new Trash(foundation);
        await removeLayers(foundation, rows, rows.all.filter(isIncomplete), trash);
      },
    },
  );
  await removeLeftovers(foundation);
  const { StorageStore } = await import('./store.ts');
  return new StorageStore(foundation, options.driverOptions ?? [], options.rootless ?? false);
}

function makeRoot(path: string): void {
  try {
    makeDirectories(path, 0o700);
  } catch (cause) {
    throw new StoreError('system', `making the storage directory ${path}: ${(cause as Error).message}`, {
      cause,
      hint: 'choose other places with --root and --runroot, or run as root or below `buildah unshare`',
    });
  }
}

async function makeDriver(
  name: 'overlay' | 'vfs',
  options: StoreOptions & { readonly imageStore: string | undefined },
): Promise<GraphDriver> {
  const settings = {
    graphRoot: options.graphRoot,
    runRoot: options.runRoot,
    imageStore: options.imageStore,
    options: options.driverOptions ?? [],
    rootless: options.rootless ?? false,
  };
  const hold = await lockFileAt(join(options.graphRoot, 'storage.lock')).acquire('write');
  try {
    if (name === 'vfs') return new (await import('./vfs/driver.ts')).VfsDriver(settings);
    return new (await import('./overlay/driver.ts')).OverlayDriver(settings);
  } finally {
    hold.release();
  }
}

/** Trees that a killed process was filling or removing; whoever has their lock is still at work. */
async function removeLeftovers(foundation: Foundation): Promise<void> {
  for (const root of [...foundation.driver.temporaryRoots, metadataTemporaryRoot(foundation)])
    await removeStaleTemporaryDirectories(root);
}

const DRIVERS = ['overlay', 'vfs'] as const;
const OVERLAY_FS = 0x794c7630;
const CAP_SYS_ADMIN = 1n << 21n;

function chooseDriver(graphRoot: string, options: StoreOptions): 'overlay' | 'vfs' {
  if (options.driver) return knownDriver(options.driver);
  const order = options.driverPriority?.length ? options.driverPriority.map(knownDriver) : DRIVERS;
  const prior = order.filter((name) => existsSync(join(graphRoot, `${name}-layers`)));
  if (prior.length === 1) return prior[0]!;
  if (prior.length > 1 && !options.driverPriority?.length)
    throw new StoreError(
      'bad-config',
      `${graphRoot} contains several valid graphdrivers: ${prior.join(', ')}; Please cleanup or explicitly choose storage driver (-s <DRIVER>)`,
    );
  return (
    prior[0] ?? order.find((name) => name !== 'overlay' || overlayWorks(graphRoot, options)) ?? order[0]!
  );
}

function knownDriver(name: string): 'overlay' | 'vfs' {
  if (name === 'overlay' || name === 'overlay2') return 'overlay';
  if (name === 'vfs') return 'vfs';
  throw new StoreError('unsupported-driver', `driver not supported: ${JSON.stringify(name)}`, {
    hint: 'the drivers here are overlay and vfs',
  });
}

function overlayWorks(graphRoot: string, options: StoreOptions): boolean {
  if (parseDriverOptions('overlay', options.driverOptions ?? []).mountProgram !== undefined) return true;
  return statfsSync(graphRoot).type !== OVERLAY_FS && mayMount();
}

function mayMount(): boolean {
  if (process.platform !== 'linux') return false;
  const hex = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return hex !== undefined && (BigInt(`0x${hex}`) & CAP_SYS_ADMIN) !== 0n;
}
