import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { buildah } from '../../bin/buildah.ts';
import type { CommandIo } from '../../bin/cli/contract.ts';
import { runTool } from '../../bin/cli/run-tool.ts';

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** buildah in this process, with storage of its own in a fresh directory that commands work in. */
export interface BuildahCommand {
  readonly directory: string;
  run(...words: string[]): Promise<Outcome>;
  /** The same with something on standard input. */
  feed(input: Uint8Array | string, ...words: string[]): Promise<Outcome>;
  /** The output; fails the test where the command fails. */
  ok(...words: string[]): Promise<string>;
  /** Unmounts what commands mounted, and removes the directory. */
  remove(): Promise<void>;
}

export function openBuildah(
  name: string,
  options: {
    readonly environment?: Readonly<Record<string, string>>;
    readonly driver?: 'vfs' | 'overlay';
  } = {},
): BuildahCommand {
  const directory = mkdtempSync(join(tmpdir(), `slipway-${name}-`));
  const driver = options.driver ?? 'vfs';
  const places = [
    ...['--root', join(directory, 'root'), '--runroot', join(directory, 'run')],
    ...['--storage-driver', driver],
  ];
  const feed = async (input: Uint8Array | string, ...words: string[]): Promise<Outcome> => {
    const texts = { out: '', err: '' };
    const io: CommandIo = {
      stdin: new PassThrough().end(input),
      stdout: sink((text) => {
        texts.out += text;
      }),
      stderr: sink((text) => {
        texts.err += text;
      }),
      environment: { PATH: process.env.PATH, HOME: directory, TMPDIR: directory, ...options.environment },
      workingDirectory: directory,
    };
    const code = await runTool(buildah, [...places, ...words], io, new AbortController().signal);
    return { code, out: texts.out.trimEnd(), err: texts.err.trimEnd() };
  };
  const run = (...words: string[]) => feed('', ...words);
  return {
    directory,
    run,
    feed,
    async ok(...words) {
      const { code, out, err } = await run(...words);
      assert.equal(code, 0, `buildah ${words.join(' ')}: ${err}`);
      return out;
    },
    async remove() {
      await run('umount', '--all');
      // The overlay driver's own directory may be a mount.
      if (driver === 'overlay') spawnSync('umount', [join(directory, 'root/overlay')], { stdio: 'ignore' });
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function sink(take: (text: string) => void): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      take(chunk.toString());
      done();
    },
  });
}
