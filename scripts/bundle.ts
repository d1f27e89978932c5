// Bundles the tools, the library's entry points and the workers into dist/, and writes the type declarations.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import type { ToolSpec } from '../bin/cli/contract.ts';
import { joinChunks } from './join-chunks.ts';

const TOOLS = ['buildah', 'skopeo', 'slipway'];
const DOMAINS = ['image', 'config', 'store', 'sign', 'transport', 'build', 'artifact', 'registry'];
/** Packages that few commands need: files of their own, so that the others do not parse them. */
const VENDOR = ['openpgp', 'yaml', 'tar', 'jose', 'semver', '@noble/ciphers/salsa.js'];

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };

const common: BuildOptions = {
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  minifySyntax: true,
  minifyWhitespace: true,
  external: ['koffi'],
  define: { SLIPWAY_BUNDLED: 'true', SLIPWAY_VERSION: JSON.stringify(version) },
  banner: {
    js: "import{createRequire as __slipwayRequire}from'node:module';const require=__slipwayRequire(import.meta.url);",
  },
  logLevel: 'warning',
};

function vendorFile(name: string): string {
  return `${name.replace(/\W+/g, '-')}.js`;
}

/** Leaves vendor packages out of a bundle: `dist/vendor/` has them once. */
const vendorPlugin = (packages: readonly string[] = VENDOR): Plugin => ({
  name: 'vendor',
  setup(setup) {
    setup.onResolve({ filter: /^[^./]/ }, ({ path }) =>
      packages.includes(path) ? { path: `../vendor/${vendorFile(path)}`, external: true } : undefined,
    );
  },
});

/** CommonJS packages have no names for `export *`: they are spelled out. */
async function vendorEntry(name: string): Promise<string> {
  const module = (await import(name)) as Record<string, unknown>;
  const isName = (key: string) => key !== 'default' && /^[A-Za-z_$][\w$]*$/.test(key);
  const lines = [`export { ${Object.keys(module).filter(isName).join(', ')} } from ${JSON.stringify(name)};`];
  if ('default' in module) lines.push(`export { default } from ${JSON.stringify(name)};`);
  return lines.join('\n');
}

async function bundleVendor(out: string): Promise<void> {
  for (const name of VENDOR) {
    const contents = await vendorEntry(name);
    await build({
      ...common,
      stdin: { contents, resolveDir: '.', loader: 'js' },
      outfile: join(out, 'vendor', vendorFile(name)),
    });
  }
}

/** Tools and workers. The code cache has what they call of yaml, which a chunk of its own keeps from the others. */
const startingFast = {
  ...common,
  define: { ...common.define, 'import.meta.url': '__slipwayUrl', 'import.meta.main': 'false' },
  write: false,
  plugins: [vendorPlugin(VENDOR.filter((name) => name !== 'yaml'))],
} satisfies BuildOptions;

/**
 * One file for each tool, a function that the launcher calls: the code cache keeps V8 from compiling it again, and only
 * CommonJS loads Node's own modules where they are first needed, not all at the start.
 */
async function bundleTools(out: string): Promise<void> {
  for (const tool of TOOLS) {
    const { outputFiles } = await build({
      ...startingFast,
      entryPoints: { tool: `bin/${tool}.ts` },
      outdir: out,
      splitting: true,
      chunkNames: '[hash]',
      banner: {},
    });
    const chunks = outputFiles.map(({ path, text }) => ({ name: `./${basename(path)}`, text }));
    const body = await joinChunks(chunks, './tool.js');
    writeToStartFast(
      join(out, 'tools', `${tool}.cjs`),
      `(function(exports,require,module,__filename){'use strict';${PRELUDE}${body}})`,
    );
    await bundleLauncher(out, tool);
  }
}

async function bundleLauncher(out: string, tool: string): Promise<void> {
  const bytes = readFileSync(join(out, 'tools', `${tool}.cjs`));
  const { [tool]: spec } = (await import(`../bin/${tool}.ts`)) as Record<string, ToolSpec>;
  const commands = (spec?.commands ?? []).flatMap(({ name, aliases = [] }) => [name, ...aliases]);
  await build({
    ...common,
    entryPoints: ['scripts/launcher.ts'],
    outfile: join(out, 'bin', `${tool}.cjs`),
    format: 'cjs',
    banner: {},
    define: {
      ...common.define,
      SLIPWAY_TOOL: JSON.stringify(tool),
      SLIPWAY_BUNDLE_DIGEST: JSON.stringify(createHash('sha256').update(bytes).digest('hex').slice(0, 16)),
      SLIPWAY_COMMANDS: JSON.stringify(commands),
    },
  });
}

/** Node's own modules that its start loads anyway. The others take milliseconds each: they wait for their first use. */
const AT_HAND = ['fs', 'path', 'util', 'url', 'events', 'async_hooks', 'module'];

const PRELUDE =
  "const __slipwayUrl=require('node:url').pathToFileURL(__filename).href;const __lazy=name=>new Proxy({},{get:(_,key)=>require(name)[key]});";

/** Makes Node's modules lazy, and the text ASCII: with one character beyond, V8 keeps the whole file in two bytes each. */
function writeToStartFast(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, lazyModules(text).replace(/[\u0080-\uffff]/g, unicodeEscape));
}

/** esbuild reads the names of a module where they are used (`import_node_zlib.gunzipSync`), unless all are copied. */
function lazyModules(text: string): string {
  return text.replace(/(?<==)require\("node:([\w/]+)"\)/g, (whole, name: string) =>
    AT_HAND.includes(name) ? whole : `__lazy("node:${name}")`,
  );
}

/** Right in regular expressions, which esbuild leaves as they are; it escapes strings itself. */
function unicodeEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

async function bundleWorkers(out: string): Promise<void> {
  const workers = globSync('{store,transport,sign,build,registry}/**/*.worker.ts');
  const entryPoints = Object.fromEntries(
    workers.map((worker) => [`workers/${basename(worker, '.ts')}`, worker]),
  );
  const { outputFiles } = await build({
    ...startingFast,
    entryPoints,
    outdir: out,
    format: 'cjs',
    outExtension: { '.js': '.cjs' },
    banner: { js: PRELUDE },
  });
  for (const { path, text } of outputFiles) writeToStartFast(path, text);
}

async function bundleLibrary(out: string): Promise<void> {
  const entries = [
    ...DOMAINS.map((domain) => [`lib/${domain}`, `${domain}/index.ts`]),
    ['lib/index', 'index.ts'],
  ];
  const entryPoints = Object.fromEntries(entries.filter(([, file]) => existsSync(file as string))) as Record<
    string,
    string
  >;
  await build({
    ...common,
    entryPoints,
    outdir: out,
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
    plugins: [vendorPlugin()],
  });
}

function writeTypes(out: string): void {
  const flags = [
    '--noEmit',
    'false',
    '--emitDeclarationOnly',
    '--declaration',
    '--rewriteRelativeImportExtensions',
  ];
  const args = ['-p', 'tsconfig.json', ...flags, '--rootDir', '.', '--outDir', `${out}/types`];
  const tsc = spawnSync('node_modules/.bin/tsc', args, { stdio: 'inherit' });
  if (tsc.status !== 0) throw new Error('writing the type declarations failed');
  for (const folder of ['test', 'bench', 'scripts', 'bin'])
    rmSync(`${out}/types/${folder}`, { recursive: true, force: true });
}

/** Built beside dist/ and renamed, so that a tool that runs meanwhile finds a whole bundle. */
export async function bundle(options: { readonly types: boolean }): Promise<void> {
  const out = `dist.new-${process.pid}`;
  try {
    await Promise.all([bundleVendor(out), bundleTools(out), bundleWorkers(out), bundleLibrary(out)]);
    if (options.types) writeTypes(out);
    rmSync('dist', { recursive: true, force: true });
    renameSync(out, 'dist');
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

if (import.meta.main) await bundle({ types: !process.argv.includes('--no-types') });
