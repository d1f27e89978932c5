import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ifThere } from '../../../errors.ts';
import { randomBytes } from '../../kernel/random.ts';

/** Directories and files below an overlay home that are no layers. */
export const NOT_LAYERS = new Set(['l', 'staging', 'tempdirs', 'backingFsBlockDev', '.has-mount-program']);

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const LINK_LENGTH = 26;

/** A short random name for a layer's diff directory, so that many lowers fit the page that mount(2) takes. */
export function randomLinkName(): string {
  return Array.from(randomBytes(LINK_LENGTH), (byte) => ALPHABET[byte % ALPHABET.length]).join('');
}

/** Makes `l/<name>` point to the diff directory of layer `id`. */
export function makeLink(home: string, id: string, name: string): void {
  mkdirSync(join(home, 'l'), { recursive: true, mode: 0o755 });
  symlinkSync(join('..', id, 'diff'), join(home, 'l', name));
}

export function readLinkName(layerDirectory: string): string | undefined {
  return textOf(join(layerDirectory, 'link'));
}

/** The lowers of a layer, uppermost first, each `l/<name>`. */
export function readLowers(layerDirectory: string): string[] {
  const text = textOf(join(layerDirectory, 'lower')) ?? '';
  return text === '' ? [] : text.split(':');
}

/**
 * Makes the short links agree with the `link` files again after a sudden power loss lost either: the original's
 * recreateSymlinks.
 */
export function repairLinks(home: string): void {
  mkdirSync(join(home, 'l'), { recursive: true, mode: 0o755 });
  const linked = new Map<string, string>();
  for (const name of readdirSync(join(home, 'l'))) {
    const parts = readlinkSync(join(home, 'l', name)).split('/');
    if (parts.length === 3 && parts[0] === '..' && parts[2] === 'diff') linked.set(parts[1]!, name);
    else rmSync(join(home, 'l', name), { force: true });
  }
  for (const entry of readdirSync(home, { withFileTypes: true })) {
    if (!entry.isDirectory() || NOT_LAYERS.has(entry.name)) continue;
    const name = readLinkName(join(home, entry.name));
    const existing = linked.get(entry.name);
    if (name !== undefined && name !== '' && existing === undefined) makeLink(home, entry.name, name);
    else if (existing !== undefined && name !== existing)
      writeFileSync(join(home, entry.name, 'link'), existing, { mode: 0o644 });
  }
}

/** Links of layers that are gone: a writer died between making the link and its directory. */
export function removeDanglingLinks(home: string): void {
  for (const name of readdirSync(join(home, 'l')))
    if (!existsSync(join(home, 'l', name))) rmSync(join(home, 'l', name), { force: true });
}

function textOf(path: string): string | undefined {
  return ifThere(() => readFileSync(path, 'utf8').trim(), 'ENOENT');
}
