import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { isSystemError } from '../../../errors.ts';
import { StoreError } from '../../error.ts';
import { MNT, MS, mount, unmount } from '../../kernel/mount.ts';
import { workerUrl } from '../../kernel/worker-url.ts';

/** One overlay mount. Paths of layers are relative to `home`. */
export interface OverlayMount {
  readonly home: string;
  /** Absolute mount point. */
  readonly target: string;
  /** Uppermost first, relative to `home` or absolute. */
  readonly lowers: readonly string[];
  /** Absent: a read-only mount. Relative to `home`. */
  readonly upper?: string;
  readonly work?: string;
  readonly options: readonly string[];
  /** Never sync the upper directory, where the kernel knows how (5.10). */
  readonly volatile?: boolean;
  readonly mountLabel?: string;
  readonly mountProgram?: string;
}

/** mount(2) takes one page of data. */
const PAGE_BYTES = 4096;

/** What the worker is handed when absolute paths would not fit a page. */
export interface MountJob {
  readonly directory: string;
  readonly target: string;
  readonly flags: number;
  readonly data: string;
}

const FLAGS: Readonly<Record<string, number>> = {
  ro: MS.rdonly,
  nodev: MS.nodev,
  nosuid: MS.nosuid,
  noexec: MS.noexec,
  noatime: MS.noatime,
  nodiratime: MS.nodiratime,
  relatime: MS.relatime,
  strictatime: MS.strictatime,
};
/** Words that clear a flag, which is clear anyhow. */
const CLEARING = new Set(['defaults', 'rw', 'dev', 'suid', 'exec', 'atime', 'diratime', 'async']);

/**
 * Mounts by the kernel or, where a mount program is configured, by that.
 * @throws StoreError `system` with the mount data
 */
export async function mountOverlay(job: OverlayMount): Promise<void> {
  if (job.volatile) return await mountVolatile({ ...job, volatile: false });
  if (job.mountProgram !== undefined) return await runMountProgram(job, job.mountProgram);
  const { flags, words } = splitFlags([...job.options, ...kernelDefaultsToUndo()]);
  const absolute = mountData(job, words, (path) => (path.startsWith('/') ? path : `${job.home}/${path}`));
  try {
    if (Buffer.byteLength(absolute) < PAGE_BYTES) mount('overlay', job.target, 'overlay', flags, absolute);
    else await mountFrom(job, { flags, words });
  } catch (cause) {
    if (cause instanceof StoreError) throw cause;
    throw new StoreError(
      'system',
      `creating overlay mount to ${job.target}, mount_data=${JSON.stringify(absolute.slice(0, 512))}: ${(cause as Error).message}`,
      { cause, hint: hintFor(cause) },
    );
  }
}

async function mountVolatile(job: OverlayMount): Promise<void> {
  if (job.options.includes('volatile')) return await mountOverlay(job);
  try {
    await mountOverlay({ ...job, options: [...job.options, 'volatile'] });
  } catch (error) {
    if (!(error instanceof StoreError) || !isSystemError(error.cause, 'EINVAL')) throw error;
    await mountOverlay(job);
  }
}

function hintFor(cause: unknown): string | undefined {
  if (isSystemError(cause, 'EPERM'))
    return 'mounting needs root or a user namespace: run below `buildah unshare`, or use the vfs driver';
  if (isSystemError(cause, 'EINVAL', 'ENODEV'))
    return 'the kernel or the file system below the store cannot do this overlay mount; fuse-overlayfs (mount_program) or the vfs driver can';
  return undefined;
}

/** Paths relative to home fit more layers into the page; beyond that only the kernel's newer mount calls help. */
async function mountFrom(
  job: OverlayMount,
  { flags, words }: { readonly flags: number; readonly words: readonly string[] },
): Promise<void> {
  const data = mountData(job, words, (path) => path);
  if (Buffer.byteLength(data) < PAGE_BYTES)
    return await inWorker({ directory: job.home, target: job.target, flags, data });
  const { mountByParts } = await import('./mount-by-parts.ts');
  mountByParts(job, flags, words);
}

/** A worker changes its own working directory; the main thread's stays. */
function inWorker(job: MountJob): Promise<void> {
  const worker = new Worker(workerUrl('store/storage/overlay/mount.worker.ts'), {
    workerData: job,
    trackUnmanagedFds: false,
  });
  return new Promise((resolve, reject) => {
    worker.once('message', (failure: { code: string; message: string } | undefined) => {
      if (failure === undefined) resolve();
      else reject(Object.assign(new Error(failure.message), { code: failure.code }));
    });
    worker.once('error', reject);
    worker.once('exit', () => reject(new Error('the mount worker ended without an answer')));
  });
}

function mountData(job: OverlayMount, words: readonly string[], place: (path: string) => string): string {
  const lowers = job.lowers.map((path) => escapePath(place(path))).join(':');
  const layers =
    job.upper === undefined || job.work === undefined
      ? [`lowerdir=${lowers}`]
      : [
          `lowerdir=${lowers}`,
          `upperdir=${escapePath(place(job.upper))}`,
          `workdir=${escapePath(place(job.work))}`,
        ];
  const label = job.mountLabel ? [`context=${JSON.stringify(job.mountLabel)}`] : [];
  return [...layers, ...words, ...label].join(',');
}

/** Colons and commas separate in overlay's options. */
function escapePath(path: string): string {
  return path.replace(/[\\:,]/g, '\\$&');
}

function splitFlags(options: readonly string[]): { flags: number; words: string[] } {
  let flags = 0;
  const words: string[] = [];
  for (const option of options) {
    const flag = FLAGS[option];
    if (flag !== undefined) flags |= flag;
    else if (!CLEARING.has(option) && option !== '') words.push(option);
  }
  return { flags, words };
}

/**
 * Upper directories become layers as they are, so renames and metadata copies must be whole in them. Kernels that turn
 * redirects or metacopy on by default are told otherwise.
 */
function kernelDefaultsToUndo(): string[] {
  return ['redirect_dir', 'metacopy', 'index'].filter(isOnByDefault).map((name) => `${name}=off`);
}

function isOnByDefault(parameter: string): boolean {
  try {
    return readFileSync(`/sys/module/overlay/parameters/${parameter}`, 'utf8').trim() === 'Y';
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'EACCES', 'ENOTDIR')) return false;
    throw error;
  }
}

async function runMountProgram(job: OverlayMount, program: string): Promise<void> {
  const data = mountData(job, job.options, (path) => path);
  await run(program, ['-o', data, job.target], job.home);
}

function run(program: string, args: readonly string[], directory: string): Promise<void> {
  const child = spawn(program, args, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
  let report = '';
  child.stderr.on('data', (chunk: Buffer) => {
    report = (report + chunk.toString()).slice(-2000);
  });
  return new Promise((resolve, reject) => {
    child.once('error', (cause) =>
      reject(new StoreError('system', `starting ${program}: ${cause.message}`, { cause })),
    );
    child.once('close', (code) => {
      if (code === 0) resolve();
      else
        reject(
          new StoreError('system', `using mount program ${program}: ${report.trim() || `exit code ${code}`}`),
        );
    });
  });
}

/** Unmounts; nothing mounted there is fine. FUSE mounts are given to fusermount first. */
export async function unmountOverlay(target: string, mountProgram: string | undefined): Promise<void> {
  if (mountProgram !== undefined) {
    for (const program of ['fusermount3', 'fusermount']) {
      const done = await run(program, ['-u', target], '/').then(
        () => true,
        () => false,
      );
      if (done) return;
    }
  }
  try {
    unmount(target, MNT.detach);
  } catch (cause) {
    if (isSystemError(cause, 'EINVAL', 'ENOENT')) return;
    throw new StoreError('system', `unmounting ${JSON.stringify(target)}: ${(cause as Error).message}`, {
      cause,
    });
  }
}
