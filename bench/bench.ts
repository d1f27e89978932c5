import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { makeTree, placeShell, randomBytes } from './data.ts';
import { type Engine, startEngine } from './engine.ts';

export type Side = 'ours' | 'peer';

/** One row of the table. `goal` is the highest ratio that is good. */
export interface Row {
  readonly name: string;
  readonly peer?: string;
  readonly goal?: number;
  readonly prepare?: (bench: Bench) => Promise<void> | void;
  readonly before?: (bench: Bench, side: Side, run: number) => Promise<void> | void;
  readonly command: (
    bench: Bench,
    side: Side,
    run: number,
  ) => {
    readonly command: string;
    readonly args: readonly string[];
    readonly environment?: Record<string, string>;
  };
  readonly after?: (bench: Bench, side: Side, run: number) => Promise<void> | void;
  readonly note?: (bench: Bench) => string;
}

/** The place where a run works: its own stores, one registry for both sides, data made when first needed. */
export class Bench implements AsyncDisposable {
  readonly work: string;
  readonly registry: string;
  /** BuildKit's, where a Docker engine is installed. */
  readonly engine: Engine | undefined;
  readonly #server: ChildProcess;
  readonly #made = new Set<string>();

  constructor(work: string, registry: string, server: ChildProcess, engine: Engine | undefined) {
    this.engine = engine;
    this.work = work;
    this.registry = registry;
    this.#server = server;
  }

  has(program: string): boolean {
    if (program === 'docker') return this.engine !== undefined;
    return spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
  }

  /** A docker command line for the engine. */
  docker(...args: string[]): {
    readonly command: string;
    readonly args: readonly string[];
    readonly environment: Record<string, string>;
  } {
    if (!this.engine) throw new Error('no Docker engine');
    return {
      command: this.engine.client,
      args: ['-H', this.engine.host, ...args],
      environment: { DOCKER_BUILDKIT: '1' },
    };
  }

  path(...parts: string[]): string {
    return join(this.work, ...parts);
  }

  /** Does `make` at most once in a run. */
  once(name: string, make: () => void): void {
    if (this.#made.has(name)) return;
    make();
    this.#made.add(name);
  }

  /** Global flags of the side's own store. */
  store(side: Side): string[] {
    return [
      '--root',
      this.path(`${side}-root`),
      '--runroot',
      this.path(`${side}-run`),
      '--storage-driver',
      'overlay',
    ];
  }

  /** A tool as npm installs it: launchers of a checkout also look whether a source is newer than the bundle. */
  tool(name: string): string {
    const place = this.path('installed');
    this.once('installed', () => {
      for (const part of ['bin', 'dist', 'package.json'])
        cpSync(part, join(place, part), { recursive: true });
      symlinkSync(resolve('node_modules'), join(place, 'node_modules'));
    });
    return join(place, 'bin', name);
  }

  buildah(side: Side): string {
    return side === 'ours' ? this.tool('buildah') : 'buildah';
  }

  skopeo(side: Side): string {
    return side === 'ours' ? this.tool('skopeo') : 'skopeo';
  }

  /** Runs a set-up command on one side. @throws Error with its output */
  run(command: string, args: readonly string[], environment: Record<string, string> = {}): string {
    const done = spawnSync(command, args, {
      encoding: 'utf8',
      maxBuffer: 256e6,
      env: { ...process.env, ...environment },
    });
    if (done.status !== 0)
      throw new Error(`${command} ${args.join(' ')} ended with ${done.status}:\n${done.stderr}`);
    return done.stdout;
  }

  /** `localhost/base` of 204 MB in 6,768 files, in the stores of both sides. */
  baseImage(): void {
    this.once('base', () => {
      const tree = this.path('base');
      placeShell(tree);
      makeTree(join(tree, 'usr/share/data'), 6768, 200e6, 7);
      for (const side of ['ours', 'peer'] as const) {
        if (side === 'peer' && !this.has('buildah')) continue;
        this.importTree(side, tree, 'localhost/base');
      }
    });
  }

  /** The base image in the Docker engine as well. */
  baseInEngine(): void {
    this.baseImage();
    this.once('base in engine', () => {
      const archive = this.path('base.tar');
      this.run('bin/slipway', [...this.store('ours'), 'save', '--quiet', '-o', archive, 'localhost/base']);
      const { command, args } = this.docker('load', '-i', archive);
      this.run(command, args);
    });
  }

  importTree(side: Side, tree: string, name: string): void {
    const tool = this.buildah(side);
    const container = this.run(tool, [...this.store(side), 'from', 'scratch']).trim();
    this.run(tool, [...this.store(side), 'copy', '--quiet', container, tree, '/']);
    this.run(tool, [...this.store(side), 'config', '--env', 'PATH=/bin', container]);
    this.run(tool, [...this.store(side), 'commit', '--quiet', container, name]);
    this.run(tool, [...this.store(side), 'rm', container]);
  }

  /** The 11-step context: 4 RUN, 20 MB of random data, a 200-file COPY. */
  buildContext(): string {
    const context = this.path('context');
    this.once('context', () => {
      mkdirSync(context, { recursive: true });
      writeFileSync(join(context, 'random.bin'), randomBytes(20e6, 3));
      makeTree(join(context, 'files'), 200, 2e6, 11);
      writeFileSync(
        join(context, 'Containerfile'),
        'FROM localhost/base\nENV A=1\nRUN mkdir /work\nWORKDIR /work\nCOPY random.bin .\nRUN cat random.bin > copy.bin\nCOPY files files/\nRUN ls files > list\nLABEL b=2\nRUN rm copy.bin\nCMD ["/bin/sh"]\n',
      );
    });
    return context;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#server.on('close', resolve));
    this.#server.kill();
    await ended;
    await this.engine?.[Symbol.asyncDispose]();
    for (const side of ['ours', 'peer'] as const) {
      spawnSync('bin/buildah', [...this.store(side), 'rm', '--all'], { stdio: 'ignore' });
    }
    for (const point of mountsBelow(this.work)) spawnSync('umount', ['-l', point], { stdio: 'ignore' });
    rmSync(this.work, { recursive: true, force: true });
  }
}

/** What stores leave mounted, the innermost first. */
function mountsBelow(directory: string): string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const points = lines.map((line) => line.split(' ')[4] ?? '');
  return points.filter((point) => point.startsWith(`${directory}/`)).reverse();
}

/** Starts Debian's docker-registry where installed, else the embedded one: both sides talk to the same server. */
export async function openBench(work: string): Promise<Bench> {
  const port = await freePort();
  const debian = spawnSync('sh', ['-c', 'command -v docker-registry']).status === 0;
  let server: ChildProcess;
  if (debian) {
    const config = join(work, 'registry.yml');
    writeFileSync(
      config,
      `version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: ${join(work, 'registry')}\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:${port}\n`,
    );
    server = spawn('docker-registry', ['serve', config], { stdio: 'ignore' });
  } else
    server = spawn(
      'bin/slipway',
      ['serve', '--address', `127.0.0.1:${port}`, '--directory', join(work, 'registry')],
      { stdio: 'ignore' },
    );
  await untilAnswering(`http://127.0.0.1:${port}/v2/`);
  return new Bench(work, `127.0.0.1:${port}`, server, await startEngine(work));
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function untilAnswering(url: string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const answer = await fetch(url).catch(() => undefined);
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`the registry at ${url} does not answer`);
}
