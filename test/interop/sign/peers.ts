// Runs peers and our own tools beside an in-process registry, so nothing here may block the event loop.
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf } from '../../../image/digest.ts';

export interface Run {
  readonly code: number;
  readonly output: string;
}

/**
 * A peer by the environment variable that names it, else by its name on the PATH; undefined where it does not run or
 * its answer lacks `expected`.
 */
export function findPeer(
  name: string,
  variable: string,
  flags: readonly string[],
  expected = /./,
): string | undefined {
  const program = process.env[variable] || name;
  const answer = spawnSync(program, flags, { encoding: 'utf8' });
  return answer.status === 0 && expected.test(answer.stdout + answer.stderr) ? program : undefined;
}

export function run(
  program: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Run> {
  return new Promise((resolve) => {
    const options = { env: { ...process.env, ...env }, timeout: 60_000 };
    execFile(program, args, options, (error, stdout, stderr) => {
      const code = error ? (typeof error.code === 'number' ? error.code : 1) : 0;
      resolve({ code, output: `${stdout}${stderr}` });
    });
  });
}

/** One of our tools, from the sources. */
export function ours(
  tool: 'skopeo' | 'slipway' | 'buildah',
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Run> {
  const flags = ['--disable-warning=ExperimentalWarning', `bin/${tool}.ts`];
  return run(process.execPath, [...flags, ...args], env);
}

/** A temporary directory with a GnuPG home; short, since the agent's socket lives in it. */
export function workDirectory() {
  const directory = mkdtempSync(join(tmpdir(), 'sl-sign-'));
  return {
    directory,
    gnupg: directory,
    remove() {
      spawnSync('gpgconf', ['--homedir', directory, '--kill', 'all'], { stdio: 'ignore' });
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** A new gpg key without passphrase; gives its fingerprint. */
export function gpgKey(
  home: string,
  user: string,
  kind: string,
  options: readonly string[] = [],
  expire = 'never',
): string {
  const base = ['--homedir', home, '--batch', '--pinentry-mode', 'loopback', '--passphrase', ''];
  const made = spawnSync('gpg', [...base, ...options, '--quick-gen-key', user, kind, 'sign', expire], {
    encoding: 'utf8',
  });
  if (made.status !== 0) throw new Error(`gpg: ${made.stderr}`);
  const listed = spawnSync('gpg', ['--homedir', home, '--with-colons', '--list-keys', user], {
    encoding: 'utf8',
  });
  return listed.stdout
    .split('\n')
    .find((line) => line.startsWith('fpr:'))
    ?.split(':')[9] as string;
}

/** A `dir:` image with one layer. */
export function writeDirImage(path: string): string {
  const layer = Buffer.alloc(1024);
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: [digestOf(layer)] },
    }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: {
        mediaType: 'application/vnd.oci.image.config.v1+json',
        digest: digestOf(config),
        size: config.length,
      },
      layers: [
        { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: digestOf(layer), size: layer.length },
      ],
    }),
  );
  for (const bytes of [layer, config]) writeFileSync(join(path, digestOf(bytes).slice(7)), bytes);
  writeFileSync(join(path, 'manifest.json'), manifest);
  writeFileSync(join(path, 'version'), 'Directory Transport Version: 1.1\n');
  return digestOf(manifest);
}
