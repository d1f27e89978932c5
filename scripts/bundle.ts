// Bundles the tools, the library's entry points and the workers into dist/, and writes the type declarations.
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { basename } from 'node:path';
import { build } from 'esbuild';

const DOMAINS = ['image', 'config', 'store', 'sign', 'transport', 'build', 'artifact', 'registry'];

function entryPoints(): Record<string, string> {
  const entries: Record<string, string> = {};
  for (const tool of ['buildah', 'skopeo', 'slipway']) entries[`bin/${tool}`] = `bin/${tool}.ts`;
  for (const domain of DOMAINS) entries[`lib/${domain}`] = `${domain}/index.ts`;
  entries['lib/index'] = 'index.ts';
  const workers = globSync('{store,transport,sign,build,registry}/**/*.worker.ts');
  for (const worker of workers) entries[`workers/${basename(worker, '.ts')}`] = worker;
  return Object.fromEntries(Object.entries(entries).filter(([, file]) => existsSync(file)));
}

/** Built beside dist/ and renamed, so that a tool that runs meanwhile finds a whole bundle. */
export async function bundle(options: { readonly types: boolean }): Promise<void> {
  const out = `dist.new-${process.pid}`;
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  await build({
    entryPoints: entryPoints(),
    outdir: out,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    minifySyntax: true,
    minifyWhitespace: true,
    chunkNames: 'chunks/[name]-[hash]',
    external: ['koffi'],
    define: { SLIPWAY_BUNDLED: 'true', SLIPWAY_VERSION: JSON.stringify(version) },
    banner: {
      js: "import{createRequire as __slipwayRequire}from'node:module';const require=__slipwayRequire(import.meta.url);",
    },
    logLevel: 'warning',
  });
  if (options.types) {
    const tsc = spawnSync(
      'node_modules/.bin/tsc',
      [
        '-p',
        'tsconfig.json',
        '--noEmit',
        'false',
        '--emitDeclarationOnly',
        '--declaration',
        '--rewriteRelativeImportExtensions',
        '--rootDir',
        '.',
        '--outDir',
        `${out}/types`,
      ],
      { stdio: 'inherit' },
    );
    if (tsc.status !== 0) throw new Error('writing the type declarations failed');
    for (const folder of ['test', 'bench', 'scripts', 'bin'])
      rmSync(`${out}/types/${folder}`, { recursive: true, force: true });
  }
  rmSync('dist', { recursive: true, force: true });
  renameSync(out, 'dist');
}

if (import.meta.main) await bundle({ types: !process.argv.includes('--no-types') });
