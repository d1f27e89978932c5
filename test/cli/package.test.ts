import { equal, match } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';

const test = suite('the installed package');
const prefix = mkdtempSync(join(tmpdir(), 'slipway-prefix-'));

function run(
  command: string,
  args: readonly string[],
  environment: Record<string, string | undefined> = {},
): string {
  const done = spawnSync(command, args, {
    encoding: 'utf8',
    env: { ...process.env, ...environment },
    maxBuffer: 32e6,
  });
  equal(done.status, 0, `${command} ${args.join(' ')}: ${done.stdout}${done.stderr}`);
  return done.stdout;
}

test('npm pack, npm install -g, and the three tools answer', () => {
  const packed = run('npm', ['pack', '--silent', '--pack-destination', prefix])
    .trim()
    .split('\n')
    .at(-1) as string;
  run('npm', [
    'install',
    '--global',
    '--silent',
    '--no-audit',
    '--no-fund',
    '--prefix',
    prefix,
    join(prefix, packed),
  ]);
  for (const tool of ['buildah', 'skopeo', 'slipway']) {
    const path = join(prefix, 'bin', tool);
    match(run(path, ['--version']), new RegExp(`^${tool} version `));
    match(run(path, ['--help']), /Usage:/);
  }
  const library =
    "const m = await import('slipway'); if (typeof m.copyImage !== 'function' || typeof m.buildImage !== 'function') process.exit(3);";
  const modules = join(prefix, 'lib/node_modules');
  const script = library.replace("'slipway'", JSON.stringify(join(modules, 'slipway/dist/lib/index.js')));
  run(process.execPath, ['--input-type=module', '-e', script]);
});

test('a launcher that was copied away finds the package that all share, or says that it cannot', () => {
  const shared = ['/usr/local', '/usr'].some((at) => existsSync(`${at}/lib/node_modules/slipway/bin/launch`));
  for (const tool of ['buildah', 'skopeo', 'slipway']) {
    const copy = join(prefix, `copied-${tool}`);
    copyFileSync(join(import.meta.dirname, '../../bin', tool), copy);
    const { status, stdout, stderr } = spawnSync(copy, ['--version'], { encoding: 'utf8' });
    if (shared) match(stdout, new RegExp(`^${tool} version `));
    else match(`${status} ${stderr}`, new RegExp(`^125 ${tool}: .* copied away from its package; .*\\n$`));
  }
});

test.after(() => rmSync(prefix, { recursive: true, force: true }));
test.run();
