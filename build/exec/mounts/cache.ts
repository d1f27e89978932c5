import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join, posix } from 'node:path';
import { CacheLocks, cacheKey, openCaches } from '../../caches/place.ts';
import { BuildError } from '../../error.ts';
import { discardingOverlay } from './bind.ts';
import { ownerOf } from './owner.ts';
import type { MountContext, PreparedMount } from './prepare.ts';
import { mountableSource } from './source.ts';
import type { MountSpec } from './spec.ts';

/**
 * A cache mount: a directory of this user that outlives builds, found by id (or target) and owner, never by a path out
 * of the file (SECURITY B03). `sharing=locked` waits for the others, `private` takes an empty one when it is in use.
 */
export async function prepareCache(spec: MountSpec, context: MountContext): Promise<PreparedMount> {
  const destination = spec.target as string;
  const flags = spec.flags.length > 0 ? spec.flags : [];
  if (spec.from !== undefined) return cacheFromElsewhere(spec, context, destination);
  refuseClimbing(spec);
  const root = await cacheDirectory(spec, context);
  const source = await mountableSource(root, spec.source ?? '.', spec.source ?? spec.text, context);
  return {
    mount: {
      type: 'bind',
      source: source.path,
      destination,
      options: [spec.readOnly ? 'ro' : 'rw', ...flags, 'bind'],
    },
  };
}

function refuseClimbing({ source = '', text }: MountSpec): void {
  if (!/^\/*\.\.(\/|$)/.test(posix.normalize(source))) return;
  const reason = `no such file or directory: the source ${JSON.stringify(source)} leads out of its cache`;
  throw new BuildError('unsafe-path', `${reason}: ${text}`);
}

async function cacheFromElsewhere(
  spec: MountSpec,
  context: MountContext,
  destination: string,
): Promise<PreparedMount> {
  const from = await context.session.filesFrom(context.stage.index, spec.from as string, `${spec.text} from`);
  const source = await mountableSource(from.directory, spec.source ?? '.', spec.source ?? spec.text, context);
  if (spec.readOnly)
    return {
      mount: { type: 'bind', source: source.path, destination, options: ['ro', ...spec.flags, 'bind'] },
    };
  return { mount: discardingOverlay(source.path, destination, context.scratch, spec.flags) };
}

/** The cache of an earlier mount of this RUN is taken again: its lock is held already. */
async function cacheDirectory(spec: MountSpec, context: MountContext): Promise<string> {
  const key = keyOf(spec, context);
  const known = context.caches.get(key);
  if (known !== undefined) return known;
  const path = await lockedCache(spec, key, context);
  context.caches.set(key, path);
  return path;
}

async function lockedCache(spec: MountSpec, key: string, context: MountContext): Promise<string> {
  const { cacheDirectory: parent } = context.session.options;
  const { signal } = context.session.surroundings;
  const path = join(parent, key);
  openCaches(parent);
  const locks = new CacheLocks(parent, key);
  context.cleanup.use(locks);
  if (spec.sharing === 'locked') await locks.own(signal);
  if (spec.sharing === 'private' && !locks.tryOwn()) return emptyCache(spec, context);
  await locks.use(signal);
  locks.describe({ name: nameOf(spec), ...ownerOf(spec, context) });
  if (!existsSync(path)) makeCache(path, spec, context);
  return path;
}

/**
 * Takes the caches that a RUN waits for, those of lower keys first: RUNs that name the same ones in another order do
 * not wait for each other.
 */
export async function lockCaches(specs: readonly MountSpec[], context: MountContext): Promise<void> {
  const waited = specs
    .filter(({ type, from, sharing }) => type === 'cache' && from === undefined && sharing === 'locked')
    .map((spec) => ({ spec, key: keyOf(spec, context) }))
    .sort((one, other) => (one.key < other.key ? -1 : 1));
  for (const { spec } of waited) await cacheDirectory(spec, context);
}

function keyOf(spec: MountSpec, context: MountContext): string {
  const { uid, gid } = ownerOf(spec, context);
  return cacheKey(nameOf(spec), uid, gid);
}

function nameOf(spec: MountSpec): string {
  return spec.id ?? (spec.target as string);
}

function makeCache(path: string, spec: MountSpec, context: MountContext): void {
  mkdirSync(path, { recursive: true });
  chmodSync(path, spec.mode ?? 0o755);
  const { uid, gid } = ownerOf(spec, context);
  if (uid || gid) chownSync(path, uid, gid);
}

function emptyCache(spec: MountSpec, context: MountContext): string {
  const path = join(context.scratch, `cache-${readdirSync(context.scratch).length}`);
  makeCache(path, spec, context);
  context.cleanup.defer(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
