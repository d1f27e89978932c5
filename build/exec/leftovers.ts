import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { ifThere } from '../../errors.ts';
import { tryLock } from '../../store/kernel/lock.ts';
import type { Store } from '../../store/storage/contract.ts';
import { removeTree } from '../../store/storage/remove-tree.ts';

/** Something that a build makes for its own time. Said before it is made: taking away what is not there is fine. */
type Leftover =
  | { readonly kind: 'container'; readonly id: string }
  | { readonly kind: 'mount'; readonly layerId: string }
  | { readonly kind: 'directory'; readonly path: string }
  /** Of a stage that was only needed on the way. */
  | { readonly kind: 'image'; readonly id: string };

type Line = Leftover | { readonly kind: 'gone'; readonly what: Leftover };

const NAME = /^[0-9a-f]{32}\.json$/;
const LIMIT_BYTES = 16 * 1024 * 1024;

/**
 * What a running build has to take away, in a file that it holds a lock on. The kernel drops the lock of a process that
 * is killed, so that the next build knows what to take away for it.
 */
export class LeftoverJournal implements Disposable {
  readonly #path: string;
  readonly #fd: number;

  private constructor(path: string, fd: number) {
    this.#path = path;
    this.#fd = fd;
  }

  static open(store: Store): LeftoverJournal {
    const directory = journals(store);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const name = `${randomBytes(16).toString('hex')}.json`;
    const hidden = join(directory, `.new-${name}`);
    const fd = openSync(hidden, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
    // Under its name it is locked from the start: nobody takes it for that of a dead build.
    tryLock(fd, 'write');
    renameSync(hidden, join(directory, name));
    return new LeftoverJournal(join(directory, name), fd);
  }

  add(what: Leftover): void {
    this.#write(what);
  }

  remove(what: Leftover): void {
    this.#write({ kind: 'gone', what });
  }

  [Symbol.dispose](): void {
    rmSync(this.#path, { force: true });
    closeSync(this.#fd);
  }

  #write(line: Line): void {
    writeSync(this.#fd, `${JSON.stringify(line)}\n`);
  }
}

function journals(store: Store): string {
  return join(store.graphRoot, 'slipway-builds');
}

/** Takes away what killed builds left. Gives how many they were. */
export async function removeLeftovers(store: Store, onFailure: (text: string) => void): Promise<number> {
  let count = 0;
  for (const name of ifThere(() => readdirSync(journals(store)), 'ENOENT') ?? [])
    if (NAME.test(name) && (await removeOne(store, join(journals(store), name), onFailure))) count += 1;
  if (count > 0) await store.sweep();
  return count;
}

async function removeOne(store: Store, path: string, onFailure: (text: string) => void): Promise<boolean> {
  const fd = openIfDead(path);
  if (fd === undefined) return false;
  try {
    for (const what of readLeftovers(path).reverse())
      await takeAway(store, what).catch((error: unknown) =>
        onFailure(`removing the ${what.kind} of a build that was killed: ${String(error)}`),
      );
    rmSync(path, { force: true });
    return true;
  } finally {
    closeSync(fd);
  }
}

/** Undefined for a build that goes on, or is being cleaned up after already. */
function openIfDead(path: string): number | undefined {
  const fd = ifThere(() => openSync(path, constants.O_RDWR | constants.O_NOFOLLOW), 'ENOENT');
  if (fd === undefined) return undefined;
  // Another process may have removed the file between its opening and its locking.
  if (tryLock(fd, 'write') && lstatSync(path, { throwIfNoEntry: false })) return fd;
  closeSync(fd);
  return undefined;
}

/** A killed build may have left half a line. */
function readLeftovers(path: string): Leftover[] {
  if (lstatSync(path).size > LIMIT_BYTES) return [];
  const there: Leftover[] = [];
  for (const text of readFileSync(path, 'utf8').split('\n').slice(0, -1)) {
    const line = JSON.parse(text) as Line;
    if (line.kind !== 'gone') there.push(line);
    else {
      const wanted = JSON.stringify(line.what);
      const at = there.findLastIndex((other) => JSON.stringify(other) === wanted);
      if (at >= 0) there.splice(at, 1);
    }
  }
  return there;
}

async function takeAway(store: Store, what: Leftover): Promise<void> {
  switch (what.kind) {
    case 'container':
      if (await store.containers.get(what.id)) await store.deleteContainer(what.id);
      return;
    case 'mount':
      if (await store.layers.get(what.layerId)) await store.layers.unmount(what.layerId);
      return;
    case 'image': {
      const record = await store.images.get(what.id);
      if (record && record.names.length === 0) await store.deleteImage(what.id);
      return;
    }
    case 'directory':
      if (basename(what.path).startsWith('slipway-')) await removeTree(what.path);
  }
}
