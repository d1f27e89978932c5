// Compiled to dist/bin/<tool>.cjs: runs the tool's bundle with V8's code cache.
//
// Node's own compile cache holds a file as it was when loaded, before any function was called: each run would compile
// again what it calls. This one is taken at the end of a run, one for each command, with the functions that it used.
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { enableCompileCache } from 'node:module';
import { constants, Script } from 'node:vm';

declare const SLIPWAY_TOOL: string;
/** A digest of the bundle: V8 itself checks nothing but its length. */
declare const SLIPWAY_BUNDLE_DIGEST: string;
declare const SLIPWAY_COMMANDS: readonly string[];

/** Commands with other flags call other functions: what they compiled is added from time to time. */
const REFRESH_MS = 3_600_000;
/** Caches of bundles that are not used any more. */
const OUTDATED_MS = 7 * 24 * 3_600_000;

interface Cached {
  readonly bytes: Buffer;
  readonly ageMs: number;
}

const home = process.env.XDG_CACHE_HOME || (process.env.HOME && `${process.env.HOME}/.cache`);
const parent = home && `${home}/slipway/code`;
// For the packages that are loaded on demand.
if (parent) enableCompileCache(parent);

const filename = `${__dirname.slice(0, -'bin'.length)}tools/${SLIPWAY_TOOL}.cjs`;
const directory = `${parent}/${SLIPWAY_TOOL}-${SLIPWAY_BUNDLE_DIGEST}`;
const command = process.argv.slice(2).find((word) => SLIPWAY_COMMANDS.includes(word)) ?? 'tool';
const cacheFile = `${directory}/${process.version}-${process.arch}-${command}`;

const cached = parent ? readCache() : undefined;
// The bundle is ASCII, which this encoding reads without a look at each byte.
const script = new Script(readFileSync(filename, 'latin1'), {
  filename,
  cachedData: cached?.bytes,
  importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
});
const tool = { exports: {} as { start: () => void } };
script.runInThisContext()(tool.exports, require, tool, filename);
if (parent && !(cached && !script.cachedDataRejected && cached.ageMs < REFRESH_MS))
  process.once('exit', (status) => {
    if (status === 0) writeCache(parent);
  });
tool.exports.start();

/**
 * Only a file of this very user is code to run: root may have been given somebody else's HOME. V8 ends the process over
 * damaged data, so that the file holds the data twice: to compare them takes less time than to load what could hash.
 */
function readCache(): Cached | undefined {
  try {
    const file = openSync(cacheFile, 'r');
    try {
      const { uid, mtimeMs } = fstatSync(file);
      if (process.geteuid && uid !== process.geteuid()) return undefined;
      const both = readFileSync(file);
      const bytes = both.subarray(both.length / 2);
      return both.subarray(0, bytes.length).equals(bytes)
        ? { bytes, ageMs: Date.now() - mtimeMs }
        : undefined;
    } finally {
      closeSync(file);
    }
  } catch {
    return undefined;
  }
}

/** A cache that cannot be written is none; the command has done its work. */
function writeCache(caches: string): void {
  try {
    if (!cached) dropOutdated(caches);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const temporary = `${cacheFile}.${process.pid}`;
    const bytes = script.createCachedData();
    writeFileSync(temporary, Buffer.concat([bytes, bytes]), { mode: 0o600, flag: 'wx' });
    renameSync(temporary, cacheFile);
  } catch {}
}

function dropOutdated(caches: string): void {
  for (const name of readdirSync(caches)) {
    const path = `${caches}/${name}`;
    if (Date.now() - statSync(path).mtimeMs > OUTDATED_MS) rmSync(path, { recursive: true, force: true });
  }
}
