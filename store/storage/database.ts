import { readFileSync, statSync } from 'node:fs';
import { ifThere } from '../../errors.ts';
import { StoreError } from '../error.ts';
import { type FileContents, writeFileDurably, writeFilesDurably } from './durable.ts';
import { findByPrefix } from './ids.ts';
import type { LastWrite, LockHold, StoreLock } from './lock-file.ts';

/** What rows of layers.json, images.json and containers.json have in common; unknown fields stay in the object. */
export interface Row {
  readonly id: string;
  names?: string[];
}

/** One JSON file of a database; rows remember which file they came from. */
export interface DatabaseFile {
  readonly path: string;
  /** False for volatile files, which need not survive a power cut. */
  readonly durable: boolean;
}

/** The rows as they are while the lock is held. */
export interface Rows<R extends Row> {
  readonly all: readonly R[];
  byId(id: string): R | undefined;
  byName(name: string): R | undefined;
  /** By id, name, or unique id prefix. @throws StoreError `ambiguous-id` */
  find(idOrName: string): R | undefined;
}

/** The rows and the right to change them; a changed row must be given to {@link touch} before {@link save}. */
export interface WritableRows<R extends Row> extends Rows<R> {
  add(row: R, file?: DatabaseFile): void;
  remove(row: R): void;
  touch(row: R): void;
  /** Takes the names away from every other row. */
  rename(row: R, names: readonly string[]): void;
  /** Writes the files of all rows touched since the last save. */
  save(): void;
  /** Writes data that rows speak of, then as {@link save}; no file is renamed into place before all are on disk. */
  saveBehind(data: readonly FileContents[]): Promise<void>;
}

export interface DatabaseOptions<R extends Row> {
  readonly lock: StoreLock;
  readonly files: readonly DatabaseFile[];
  /** Where new rows go unless said otherwise. */
  readonly home: DatabaseFile;
  /** What one row is, for messages: `layer`, `image`, `container`. */
  readonly what: string;
  /** True when the rows were left by a writer that died; {@link repair} is then called under the write lock. */
  readonly needsRepair?: (rows: Rows<R>) => boolean;
  readonly repair?: (rows: WritableRows<R>) => Promise<void>;
}

const REPAIRS = 3;

/**
 * A list of JSON rows shared by processes: read afresh when another process wrote, written whole by rename. The
 * protocol is that of containers/storage's layerStore, imageStore and containerStore.
 */
export class Database<R extends Row> {
  readonly #options: DatabaseOptions<R>;
  #state: State<R> | undefined;
  #lastWrite: LastWrite | undefined;

  constructor(options: DatabaseOptions<R>) {
    this.#options = options;
  }

  get readOnly(): boolean {
    return this.#options.lock.readOnly;
  }

  /** Runs `use` with fresh rows under the shared lock. Rows handed out must not be changed. */
  async read<T>(use: (rows: Rows<R>) => T | Promise<T>, signal?: AbortSignal): Promise<T> {
    for (let attempt = 0; ; attempt += 1) {
      const hold = await this.#options.lock.acquire('read', signal);
      try {
        const state = this.#refresh(hold);
        if (this.readOnly || attempt >= REPAIRS || !this.#broken(state)) return await use(state);
      } finally {
        hold.release();
      }
      await this.write(() => {}, signal);
    }
  }

  /** Runs `use` with fresh rows under the exclusive lock. After a throw the rows are read again from disk. */
  async write<T>(use: (rows: WritableRows<R>) => T | Promise<T>, signal?: AbortSignal): Promise<T> {
    const hold = await this.#options.lock.acquire('write', signal);
    try {
      const state = this.#refresh(hold);
      const rows = new Transaction(state, this.#options, () => {
        this.#lastWrite = hold.recordWrite();
      });
      if (this.#broken(state)) await this.#repair(state, rows);
      return await use(rows);
    } catch (error) {
      this.#state = undefined;
      throw error;
    } finally {
      hold.release();
    }
  }

  #broken(state: State<R>): boolean {
    return state.conflicts.size > 0 || (this.#options.needsRepair?.(state) ?? false);
  }

  async #repair(state: State<R>, rows: Transaction<R>): Promise<void> {
    for (const row of state.conflicts) rows.touch(row);
    state.conflicts.clear();
    if (this.#options.needsRepair?.(state)) await this.#options.repair?.(rows);
    rows.save();
  }

  #refresh(hold: LockHold): State<R> {
    const lastWrite = hold.lastWrite();
    if (
      this.#state === undefined ||
      this.#lastWrite === undefined ||
      !lastWrite.equals(this.#lastWrite) ||
      this.#state.outdated()
    ) {
      this.#state = loadState(this.#options);
      this.#lastWrite = lastWrite;
    }
    return this.#state;
  }
}

class State<R extends Row> implements Rows<R> {
  #all: R[] = [];
  readonly #removed = new Set<R>();
  readonly ids = new Map<string, R>();
  readonly names = new Map<string, R>();
  readonly files = new Map<R, DatabaseFile>();
  readonly stamps = new Map<DatabaseFile, string>();
  /** Rows as they were written last: most of a file is the same in the next one. */
  readonly texts = new Map<R, string>();
  /** Rows that lost a name to a later row of the same name. */
  readonly conflicts = new Set<R>();

  get all(): R[] {
    if (this.#removed.size > 0) this.#all = this.#all.filter((row) => !this.#removed.has(row));
    this.#removed.clear();
    return this.#all;
  }

  byId(id: string): R | undefined {
    return this.ids.get(id);
  }

  byName(name: string): R | undefined {
    return this.names.get(name);
  }

  find(idOrName: string): R | undefined {
    return this.ids.get(idOrName) ?? this.names.get(idOrName) ?? findByPrefix(this.all, idOrName);
  }

  /** Somebody replaced a file without telling. */
  outdated(): boolean {
    for (const [file, stamp] of this.stamps) if (stampOf(file.path) !== stamp) return true;
    return false;
  }

  insert(row: R, file: DatabaseFile): void {
    this.all.push(row);
    this.ids.set(row.id, row);
    this.files.set(row, file);
    for (const name of row.names ?? []) {
      const other = this.names.get(name);
      if (other !== undefined && other !== row) {
        other.names = other.names?.filter((candidate) => candidate !== name);
        this.conflicts.add(other);
      }
      this.names.set(name, row);
    }
  }

  textOf(row: R): string {
    const text = this.texts.get(row) ?? JSON.stringify(row);
    this.texts.set(row, text);
    return text;
  }

  /** Taken out of the list when that is next looked at, for many at once. */
  remove(row: R): void {
    this.#removed.add(row);
    this.ids.delete(row.id);
    this.files.delete(row);
    this.texts.delete(row);
    for (const name of row.names ?? []) if (this.names.get(name) === row) this.names.delete(name);
  }
}

class Transaction<R extends Row> implements WritableRows<R> {
  readonly #state: State<R>;
  readonly #options: DatabaseOptions<R>;
  readonly #announce: () => void;
  readonly #changed = new Set<DatabaseFile>();

  constructor(state: State<R>, options: DatabaseOptions<R>, announce: () => void) {
    this.#state = state;
    this.#options = options;
    this.#announce = announce;
  }

  get all(): readonly R[] {
    return this.#state.all;
  }

  byId(id: string): R | undefined {
    return this.#state.byId(id);
  }

  byName(name: string): R | undefined {
    return this.#state.byName(name);
  }

  find(idOrName: string): R | undefined {
    return this.#state.find(idOrName);
  }

  add(row: R, file: DatabaseFile = this.#options.home): void {
    if (this.#state.ids.has(row.id))
      throw new StoreError('name-in-use', `a ${this.#options.what} with ID "${row.id}" already exists`);
    this.#state.insert(row, file);
    this.#changed.add(file);
    for (const loser of this.#state.conflicts) this.touch(loser);
    this.#state.conflicts.clear();
  }

  remove(row: R): void {
    this.touch(row);
    this.#state.remove(row);
  }

  touch(row: R): void {
    this.#state.texts.delete(row);
    this.#changed.add(this.#state.files.get(row) ?? this.#options.home);
  }

  rename(row: R, names: readonly string[]): void {
    for (const name of row.names ?? []) this.#state.names.delete(name);
    for (const name of names) {
      const other = this.#state.names.get(name);
      if (other !== undefined && other !== row) {
        other.names = other.names?.filter((candidate) => candidate !== name);
        this.touch(other);
      }
      this.#state.names.set(name, row);
    }
    if (names.length > 0) row.names = [...names];
    else delete row.names;
    this.touch(row);
  }

  save(): void {
    for (const { path, data, sync } of this.#contents()) writeFileDurably(path, data, { sync });
    this.#saved();
  }

  async saveBehind(data: readonly FileContents[]): Promise<void> {
    await writeFilesDurably([...data, ...this.#contents()]);
    this.#saved();
  }

  #contents() {
    // Announced before it is written: a writer that dies in between makes others read once too often, never too little.
    if (this.#changed.size > 0) this.#announce();
    return [...this.#changed].map((file) => {
      const rows = this.#state.all.filter((row) => this.#state.files.get(row) === file);
      const texts = rows.map((row) => this.#state.textOf(row));
      return { path: file.path, data: `[${texts.join(',')}]`, sync: file.durable };
    });
  }

  #saved(): void {
    for (const file of this.#changed) this.#state.stamps.set(file, stampOf(file.path));
    this.#changed.clear();
  }
}

function loadState<R extends Row>(options: DatabaseOptions<R>): State<R> {
  const state = new State<R>();
  for (const file of options.files) {
    state.stamps.set(file, stampOf(file.path));
    for (const row of parseRows<R>(file.path, options.what)) {
      if (!state.ids.has(row.id)) state.insert(row, file);
    }
  }
  return state;
}

function parseRows<R extends Row>(path: string, what: string): R[] {
  let text: string | undefined;
  try {
    text = ifThere(() => readFileSync(path, 'utf8'), 'ENOENT');
  } catch (error) {
    throw new StoreError('system', `reading ${path}: ${(error as Error).message}`, { cause: error });
  }
  if (!text) return [];
  let rows: unknown;
  try {
    rows = JSON.parse(text);
  } catch (cause) {
    throw corrupt(path, (cause as Error).message, what, cause);
  }
  if (rows === null) return [];
  if (!Array.isArray(rows)) throw corrupt(path, 'it is not a list', what);
  for (const row of rows) checkRow(row, path, what);
  return rows as R[];
}

function checkRow(row: unknown, path: string, what: string): void {
  const { id, names } = (row ?? {}) as { id?: unknown; names?: unknown };
  if (typeof id !== 'string' || id === '') throw corrupt(path, `a ${what} has no id`, what);
  const good = names === undefined || names === null || Array.isArray(names);
  if (!good) throw corrupt(path, `the names of ${what} ${id} are not a list`, what);
}

function corrupt(path: string, why: string, what: string, cause?: unknown): StoreError {
  return new StoreError('corrupt-store', `loading ${JSON.stringify(path)}: ${why}`, {
    cause,
    facts: { path },
    hint: `nothing was changed; put back a good copy of ${path}, or move it away to start without any ${what} record (their data stays on disk)`,
  });
}

function stampOf(path: string): string {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat === undefined ? 'absent' : `${stat.ino}:${stat.mtimeNs}:${stat.size}`;
}
