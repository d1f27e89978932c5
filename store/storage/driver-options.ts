import { isAbsolute, normalize } from 'node:path';
import { StoreError } from '../error.ts';

/** What the graph driver options of storage.conf, STORAGE_OPTS and --storage-opt say, for either driver. */
export interface DriverOptions {
  /** Comma-separated options of mount(8). */
  readonly mountOptions: readonly string[];
  readonly mountProgram?: string;
  readonly ignoreChownErrors: boolean;
  readonly skipMountHome: boolean;
  /** Read-only graph roots. */
  readonly additionalStores: readonly string[];
  /** Mode that files get instead of their own. */
  readonly forceMask?: number;
  readonly syncFilesystem: boolean;
}

type Draft = { -readonly [K in keyof DriverOptions]: DriverOptions[K] };

/**
 * Reads `overlay.mountopt=nodev` and its like; options of other drivers are skipped, as the original does.
 * @throws StoreError `bad-config` for an unknown key or a bad value, `unsupported` for composefs, quota and layer stores
 */
export function parseDriverOptions(driver: 'overlay' | 'vfs', options: readonly string[]): DriverOptions {
  const draft: Draft = {
    mountOptions: [],
    ignoreChownErrors: false,
    skipMountHome: false,
    additionalStores: [],
    syncFilesystem: false,
  };
  for (const option of options) {
    const { owner, key, value } = split(option);
    if (owner !== '' && owner !== driver && !(driver === 'overlay' && owner === 'overlay2')) continue;
    apply(draft, driver, key, value, option);
  }
  return draft;
}

function split(option: string): { owner: string; key: string; value: string } {
  const equals = option.indexOf('=');
  if (equals < 0)
    throw new StoreError(
      'bad-config',
      `unable to parse storage option ${JSON.stringify(option)}: it needs key=value`,
    );
  const name = option.slice(0, equals).trim().toLowerCase();
  const value = option.slice(equals + 1).trim();
  const dot = name.indexOf('.');
  return dot < 0
    ? { owner: '', key: name, value }
    : { owner: name.slice(0, dot), key: name.slice(dot + 1), value };
}

function apply(draft: Draft, driver: 'overlay' | 'vfs', key: string, value: string, option: string): void {
  switch (key) {
    case 'imagestore':
    case 'additionalimagestore':
      if (value !== '')
        draft.additionalStores = [...draft.additionalStores, ...value.split(',').map(storePath)];
      return;
    case 'ignore_chown_errors':
      draft.ignoreChownErrors = parseBoolean(value, option);
      return;
    case 'sync':
      if (value !== 'none' && value !== 'filesystem' && value !== '')
        throw new StoreError('bad-config', `invalid sync mode in storage option ${JSON.stringify(option)}`);
      draft.syncFilesystem = value === 'filesystem';
      return;
    case 'mountopt':
      if (driver === 'vfs') throw new StoreError('bad-config', 'vfs driver does not support mount options');
      draft.mountOptions = value === '' ? [] : value.split(',');
      return;
  }
  if (driver === 'vfs') throw unknown(key, option);
  applyOverlay(draft, key, value, option);
}

function applyOverlay(draft: Draft, key: string, value: string, option: string): void {
  switch (key) {
    case 'override_kernel_check':
      return;
    case 'mount_program':
      draft.mountProgram = value === '' ? undefined : value;
      return;
    case 'skip_mount_home':
      draft.skipMountHome = parseBoolean(value, option);
      return;
    case 'force_mask':
      draft.forceMask = parseMask(value, option);
      return;
    case 'use_composefs':
      if (parseBoolean(value, option)) throw unsupported('composefs', option);
      return;
    case 'size':
    case 'inodes':
      if (value !== '' && value !== '0') throw unsupported('a disk quota', option);
      return;
    case 'additionallayerstore':
      if (value !== '') throw unsupported('an additional layer store', option);
      return;
    default:
      throw unknown(key, option);
  }
}

function storePath(path: string): string {
  if (!isAbsolute(path))
    throw new StoreError('bad-config', `image store path ${JSON.stringify(path)} is not absolute`);
  const clean = normalize(path);
  return clean.length > 1 && clean.endsWith('/') ? clean.slice(0, -1) : clean;
}

function parseBoolean(value: string, option: string): boolean {
  if (/^(1|t|T|true|TRUE|True)$/.test(value)) return true;
  if (/^(0|f|F|false|FALSE|False)$/.test(value)) return false;
  throw new StoreError('bad-config', `storage option ${JSON.stringify(option)} is neither true nor false`);
}

function parseMask(value: string, option: string): number | undefined {
  if (value === '') return undefined;
  if (value === 'shared') return 0o755;
  if (value === 'private') return 0o700;
  if (!/^[0-7]{1,4}$/.test(value))
    throw new StoreError('bad-config', `storage option ${JSON.stringify(option)} is no octal mode`);
  return Number.parseInt(value, 8);
}

function unsupported(what: string, option: string): StoreError {
  return new StoreError(
    'unsupported',
    `storage option ${JSON.stringify(option)}: ${what} is not supported here`,
    {
      hint: 'remove the option from storage.conf or STORAGE_OPTS',
    },
  );
}

function unknown(key: string, option: string): StoreError {
  return new StoreError('bad-config', `unknown option ${JSON.stringify(key)} (${JSON.stringify(option)})`);
}
