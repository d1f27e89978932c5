// Data that the measurements work on, the same in every run: a seeded generator, no machine files but the shell.
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** A small fast generator (xorshift32), so that data is equal on every machine. */
export function generator(seed: number): () => number {
  let state = seed | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** Bytes that compress about as program files do: half random, half repeated words. */
export function mixedBytes(length: number, seed: number): Buffer {
  const next = generator(seed);
  const bytes = Buffer.alloc(length);
  const words = Array.from({ length: 64 }, (_, index) =>
    Buffer.from(`symbol_${index}_${next().toString(36)} `),
  );
  let at = 0;
  while (at < length) {
    if (next() & 1) {
      const end = Math.min(at + 64, length);
      for (; at + 4 <= end; at += 4) bytes.writeUInt32LE(next(), at);
      at = end;
    } else {
      for (let count = 0; count < 8 && at < length; count += 1)
        at += (words[next() % words.length] as Buffer).copy(bytes, at);
    }
  }
  return bytes;
}

/** Random bytes that do not compress. */
export function randomBytes(length: number, seed: number): Buffer {
  const next = generator(seed);
  const bytes = Buffer.alloc(length);
  for (let at = 0; at + 4 <= length; at += 4) bytes.writeUInt32LE(next(), at);
  return bytes;
}

/** `count` files of `total` bytes together, in directories of 64. */
export function makeTree(directory: string, count: number, total: number, seed: number): void {
  const size = Math.floor(total / count);
  for (let index = 0; index < count; index += 1) {
    const path = join(directory, `d${Math.floor(index / 64)}`, `file${index}.bin`);
    if (index % 64 === 0) mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, mixedBytes(size, seed + index));
  }
}

/** The shell and a few tools with their libraries, enough for RUN steps. */
export function placeShell(root: string): void {
  for (const tool of ['sh', 'cat', 'mkdir', 'rm', 'dd', 'sleep', 'true', 'touch', 'ls', 'cp']) {
    const found = ['/bin', '/usr/bin'].map((place) => join(place, tool)).find((path) => existsSync(path));
    if (!found) continue;
    put(realpathSync(found), join(root, 'bin', tool));
    const listing = execFileSync('ldd', [found], { encoding: 'utf8' });
    for (const [, library] of listing.matchAll(/(?:=>\s+)?(\/\S+)\s+\(0x/g))
      put(realpathSync(library as string), join(root, library as string));
  }
  for (const directory of ['etc', 'tmp', 'proc', 'sys', 'dev', 'usr/bin'])
    mkdirSync(join(root, directory), { recursive: true });
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\n');
}

function put(from: string, to: string): void {
  if (existsSync(to)) return;
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
}
