import { existsSync, lstatSync, mkdirSync, readlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { StoreError } from '../../error.ts';
import { readLinkName, readLowers, repairLinks } from './links.ts';

const LOWER_LIMIT = 500;
const REPAIR_HINT = 'remove the images that use the layer and pull or build them again';

/** Finds layers and what is below them, in the own home, that of the image store, and those of additional stores. */
export class LayerPlaces {
  readonly home: string;
  readonly imageHome: string;
  /** All of them, the own first. */
  readonly homes: readonly string[];

  constructor(home: string, imageHome: string, additionalStores: readonly string[]) {
    this.home = home;
    this.imageHome = imageHome;
    this.homes = [...new Set([home, imageHome, ...additionalStores.map((store) => join(store, 'overlay'))])];
  }

  /** The homes that can be written. */
  get ownHomes(): readonly string[] {
    return [...new Set([this.home, this.imageHome])];
  }

  /** Where layer `id` is; where it would be, when there is none. */
  directory(id: string): string {
    return find(this.homes, id) ?? join(this.home, id);
  }

  /** The same among what this store may write. */
  ownDirectory(id: string): string {
    return find(this.ownHomes, id) ?? join(this.home, id);
  }

  /** True for the directory of a layer of a read-only store. */
  isLent(directory: string): boolean {
    return !this.ownHomes.includes(dirname(directory));
  }

  /** Relative to home where it is below, since mounts are made from there when paths are many. */
  relative(path: string): string {
    return path.startsWith(`${this.home}/`) ? path.slice(this.home.length + 1) : path;
  }

  /** The content of the `lower` file of a layer above `parent`. @throws StoreError `corrupt-store` */
  lowerFileAbove(parent: string): string {
    const directory = this.directory(parent);
    if (!existsSync(directory))
      throw new StoreError('corrupt-store', `the directory of layer ${parent} is missing: ${directory}`, {
        hint: REPAIR_HINT,
      });
    let link = readLinkName(directory);
    if (!link) {
      repairLinks(dirname(directory));
      link = readLinkName(directory);
    }
    if (!link) throw new StoreError('corrupt-store', `layer ${parent} has no link file in ${directory}`);
    return [`l/${link}`, ...readLowers(directory)].join(':');
  }

  /** What is below a layer, uppermost first, as paths for the mount: short links where they are below home. */
  lowersForMount(directory: string): string[] {
    const lowers = readLowers(directory);
    if (lowers.length > LOWER_LIMIT)
      throw new StoreError('unsupported', `${directory} has more than ${LOWER_LIMIT} lower layers`);
    const own = this.#extraDiffs(directory);
    if (lowers.length === 0 && own.length === 0) {
      mkdirSync(join(directory, 'empty'), { recursive: true, mode: 0o700 });
      return [this.relative(join(directory, 'empty'))];
    }
    return [
      ...own,
      ...lowers.flatMap((lower) => {
        const path = this.#findLower(lower);
        return [this.relative(path), ...this.#extraDiffs(dirname(targetOf(path)))];
      }),
    ];
  }

  /** The diff directories below a layer, uppermost first. */
  lowerDirectories(id: string): string[] {
    return readLowers(this.directory(id)).map((lower) => targetOf(this.#findLower(lower)));
  }

  #findLower(lower: string): string {
    for (let attempt = 0; attempt < 2; attempt += 1) {
      for (const home of this.homes) {
        const path = join(home, 'l', basename(lower));
        if (existsSync(path)) return path;
      }
      if (attempt === 0) repairLinks(this.home);
    }
    throw new StoreError('corrupt-store', `the lower layer ${lower} is missing below ${this.home}`, {
      hint: REPAIR_HINT,
    });
  }

  /** `diff1`, `diff2`…: what the original leaves below when it maps ids by changing owners. */
  #extraDiffs(directory: string): string[] {
    const found: string[] = [];
    for (let number = 1; existsSync(join(directory, `diff${number}`)); number += 1)
      found.push(this.relative(join(directory, `diff${number}`)));
    return found;
  }
}

function find(homes: readonly string[], id: string): string | undefined {
  return homes.map((home) => join(home, id)).find(isDirectory);
}

function targetOf(link: string): string {
  return join(dirname(link), readlinkSync(link));
}

function isDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
