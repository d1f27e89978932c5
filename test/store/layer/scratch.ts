import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { applyLayer } from '../../../store/layer/apply.ts';
import type { ApplyOptions, ApplyResult } from '../../../store/layer/contract.ts';
import { streamOf } from './archive-builder.ts';

/** Both ways in which layers lie on disk. */
export const FORMATS = ['overlay', 'delete'] as const;
export const isRoot = process.getuid?.() === 0;

/** A root to unpack into, beside a victim that nothing may touch. */
export class Scratch implements Disposable {
  readonly top = mkdtempSync(join(tmpdir(), 'slipway-layer-'));
  readonly root = join(this.top, 'root');
  readonly victim = join(this.top, 'victim');
  readonly #before: string;

  constructor() {
    mkdirSync(this.root);
    mkdirSync(this.victim);
    writeFileSync(join(this.victim, 'hello'), 'victim says hello', { mode: 0o600 });
    this.#before = this.#victimState();
  }

  [Symbol.dispose](): void {
    rmSync(this.top, { recursive: true, force: true });
  }

  apply(bytes: Uint8Array, options: Partial<ApplyOptions> = {}, chunkBytes?: number): Promise<ApplyResult> {
    const overlayXattrPrefix = isRoot ? 'trusted.' : 'user.';
    return applyLayer(this.root, streamOf(bytes, chunkBytes), {
      whiteouts: 'overlay',
      overlayXattrPrefix,
      ...options,
    });
  }

  path(name: string): string {
    return join(this.root, name);
  }

  read(name: string): string {
    return readFileSync(this.path(name), 'utf8');
  }

  exists(name: string): boolean {
    return lstatSync(this.path(name), { throwIfNoEntry: false }) !== undefined;
  }

  /** What the victim looks like, times and modes included. */
  #victimState(): string {
    const names = readdirSync(this.victim).sort();
    const states = [this.victim, ...names.map((name) => join(this.victim, name))].map((path) => {
      const { mode, uid, gid, size, nlink, mtimeNs } = lstatSync(path, { bigint: true });
      return [path, mode, uid, gid, size, nlink, mtimeNs].join(' ');
    });
    return [...states, readFileSync(join(this.victim, 'hello'), 'utf8')].join('\n');
  }

  /** True where the victim is as it was. */
  get isVictimKept(): boolean {
    return existsSync(join(this.victim, 'hello')) && this.#victimState() === this.#before;
  }

  /** True where the victim is as it was and nothing of it is in the root. */
  get isVictimUntouched(): boolean {
    return this.isVictimKept && !tree(this.root).some((line) => line.includes('victim says'));
  }
}

/** Every file below a directory, one line each: path, type, mode, and content or target. */
export function tree(root: string, prefix = ''): string[] {
  return readdirSync(Buffer.from(`${root}/${prefix}`, 'latin1'), { encoding: 'latin1' })
    .sort()
    .flatMap((name) => {
      const path = prefix === '' ? name : `${prefix}/${name}`;
      const full = Buffer.from(`${root}/${path}`, 'latin1');
      const status = lstatSync(full);
      const mode = (status.mode & 0o7777).toString(8);
      if (status.isDirectory()) return [`${path}/ ${mode}`, ...tree(root, path)];
      if (status.isSymbolicLink()) return [`${path} -> ${readlinkSync(full, { encoding: 'latin1' })}`];
      if (status.isFile()) return [`${path} ${mode} ${readFileSync(full, 'latin1').slice(0, 100)}`];
      return [`${path} ${(status.mode & 0o170000).toString(8)} ${mode} ${status.rdev}`];
    });
}
