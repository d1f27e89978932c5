import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { TransportError } from '../error.ts';
import type { LookedAtImage } from './image.ts';
import { type LayerEntry, normalizePath, readLayer } from './layer.ts';

/** A file of the image as a container would see it, and the layer that it is from (0 is the base). */
export interface ImageFile extends LayerEntry {
  readonly layerIndex: number;
}

const LIMIT_ENTRIES = 10_000_000;
const LIMIT_LINKS = 40;

/**
 * Every file of the image after all whiteouts, by path. Streams each layer once, base first, and keeps no content.
 * @throws StoreError `bad-layer`; TransportError `unsupported` past ten million entries
 */
export async function listImageFiles(
  image: LookedAtImage,
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, ImageFile>> {
  const files = new Map<string, ImageFile>();
  for (const [layerIndex, descriptor] of image.layers.entries()) {
    const fresh = new Set<string>();
    await readLayer(
      image.source,
      descriptor,
      (entry) => {
        applyEntry(files, fresh, { ...entry, layerIndex });
        if (files.size > LIMIT_ENTRIES)
          throw new TransportError('unsupported', `the image has more than ${LIMIT_ENTRIES} files`);
        return undefined;
      },
      signal,
    );
  }
  return files;
}

function applyEntry(files: Map<string, ImageFile>, fresh: Set<string>, entry: ImageFile): void {
  if (entry.kind === 'whiteout' || entry.kind === 'opaque') {
    const below = entry.path === '' ? '' : `${entry.path}/`;
    for (const path of files.keys()) {
      const covered =
        entry.kind === 'whiteout' ? path === entry.path || path.startsWith(below) : path.startsWith(below);
      if (covered && !fresh.has(path)) files.delete(path);
    }
    return;
  }
  if (entry.path === '') return;
  const before = files.get(entry.path);
  if (before?.kind === 'directory' && entry.kind !== 'directory') {
    for (const path of files.keys()) if (path.startsWith(`${entry.path}/`)) files.delete(path);
  }
  files.set(entry.path, entry);
  fresh.add(entry.path);
}

/**
 * Writes one file's content, reading layers from the top and only as far as needed; links are followed inside the image.
 * @throws TransportError `not-found`, `unsupported`
 */
export async function readImageFile(
  image: LookedAtImage,
  path: string,
  output: Writable,
  signal?: AbortSignal,
): Promise<ImageFile> {
  let wanted = normalizePath(path);
  for (let links = 0; links < LIMIT_LINKS; links += 1) {
    const found = await searchLayers(image, wanted, output, signal);
    if ('file' in found) return found.file;
    wanted = found.instead;
  }
  throw new TransportError('unsupported', `${path}: too many levels of symbolic links`);
}

type Found = { readonly file: ImageFile } | { readonly instead: string };

async function searchLayers(
  image: LookedAtImage,
  wanted: string,
  output: Writable,
  signal?: AbortSignal,
): Promise<Found> {
  for (let layerIndex = image.layers.length - 1; layerIndex >= 0; layerIndex -= 1) {
    const found = await searchLayer(image, layerIndex, wanted, output, signal);
    if (found === 'hidden') break;
    if (found) return found;
  }
  throw new TransportError('not-found', `/${wanted}: no such file in the image`);
}

async function searchLayer(
  image: LookedAtImage,
  layerIndex: number,
  wanted: string,
  output: Writable,
  signal?: AbortSignal,
): Promise<Found | 'hidden' | undefined> {
  let found: Found | undefined;
  let link: string | undefined;
  let hidden = false;
  const descriptor = image.layers[layerIndex];
  if (!descriptor) return undefined;
  await readLayer(
    image.source,
    descriptor,
    async (entry, content) => {
      const above = wanted.startsWith(`${entry.path}/`) || entry.path === '';
      if (entry.kind === 'whiteout' && (above || entry.path === wanted)) hidden = true;
      else if (entry.kind === 'opaque' && above) hidden = true;
      else if (entry.kind === 'symlink' && (above || entry.path === wanted)) link = followLink(entry, wanted);
      else if (entry.path === wanted && entry.kind === 'hardlink') link = normalizePath(entry.target ?? '');
      else if (entry.path === wanted && entry.kind === 'file') {
        await writeAll(content, output);
        found = { file: { ...entry, layerIndex } };
        return 'stop';
      } else if (entry.path === wanted)
        throw new TransportError('unsupported', `/${wanted} is a ${entry.kind}, not a file`);
      return undefined;
    },
    signal,
  );
  if (found) return found;
  if (link !== undefined) return { instead: link };
  return hidden ? 'hidden' : undefined;
}

async function writeAll(content: AsyncIterable<Buffer>, output: Writable): Promise<void> {
  for await (const chunk of content) {
    if (!output.write(chunk)) await once(output, 'drain');
  }
}

function followLink(entry: LayerEntry, wanted: string): string {
  const target = entry.target ?? '';
  const directory = entry.path.slice(0, entry.path.lastIndexOf('/') + 1);
  return normalizePath(
    `${target.startsWith('/') ? target : `${directory}${target}`}/${wanted.slice(entry.path.length)}`,
  );
}

/** One difference between two images' trees. */
export interface FileChange {
  /** As Podman prints them: added, changed, deleted. */
  readonly kind: 'A' | 'C' | 'D';
  readonly path: string;
}

/** What differs from `before` to `after`, sorted by path: type, mode, owner, size, link target and time count. */
export function compareFiles(
  before: ReadonlyMap<string, ImageFile>,
  after: ReadonlyMap<string, ImageFile>,
): readonly FileChange[] {
  const changes: FileChange[] = [];
  for (const [path, file] of after) {
    const old = before.get(path);
    if (!old) changes.push({ kind: 'A', path: `/${path}` });
    else if (!sameFile(old, file)) changes.push({ kind: 'C', path: `/${path}` });
  }
  for (const path of before.keys()) if (!after.has(path)) changes.push({ kind: 'D', path: `/${path}` });
  return changes.sort((a, b) => (a.path < b.path ? -1 : 1));
}

function sameFile(a: ImageFile, b: ImageFile): boolean {
  const time = a.kind === 'directory' || a.modifiedMs === b.modifiedMs;
  return (
    time &&
    a.kind === b.kind &&
    a.mode === b.mode &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    a.sizeBytes === b.sizeBytes &&
    a.target === b.target
  );
}
