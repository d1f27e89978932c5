import { close, constants, openSync, read, write } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';
import { isSystemError } from '../../errors.ts';
import { ioctl } from '../../store/kernel/index.ts';
import type { RunRequest } from './contract.ts';
import { makeRaw } from './raw-terminal.ts';

const SET_LOCK = 0x4004_5431; // TIOCSPTLCK
const GET_NUMBER = 0x8004_5430; // TIOCGPTN
const SET_SIZE = 0x5414; // TIOCSWINSZ
const NO_TERMINAL = constants.O_RDWR | constants.O_NOCTTY;

/** A pseudo-terminal: what is written to one end is read at the other. */
export interface TerminalPair {
  readonly master: number;
  readonly slave: number;
}

/**
 * Opens a new pseudo-terminal.
 * @param open opens a name of a devpts file system: `ptmx`, or a number
 */
export function openTerminalPair(open: (name: string, flags: number) => number): TerminalPair {
  const master = open('ptmx', NO_TERMINAL);
  const value = Buffer.alloc(4);
  ioctl(master, SET_LOCK, value);
  ioctl(master, GET_NUMBER, value);
  return { master, slave: open(String(value.readUInt32LE(0)), NO_TERMINAL) };
}

/**
 * A pseudo-terminal of the host's own devpts, through which a runtime is to reach the container's: what comes before the
 * runtime is ready, the end of input above all, has to reach it as it is.
 */
export function openHostTerminal(): TerminalPair {
  const pair = openTerminalPair((name, flags) =>
    openSync(name === 'ptmx' ? '/dev/ptmx' : `/dev/pts/${name}`, flags),
  );
  makeRaw(pair.slave);
  return pair;
}

/** True where the request hands on this process's own terminal, which a runtime can use directly. */
export function ownsTerminal(request: RunRequest): boolean {
  const inherits = (stream: unknown) => stream === 'inherit' || stream === undefined;
  return (
    request.stdin === 'inherit' &&
    inherits(request.stdout) &&
    inherits(request.stderr) &&
    Boolean(process.stdin.isTTY && process.stdout.isTTY && process.stderr.isTTY)
  );
}

const readBytes = promisify(read);
const writeBytes = promisify(write);
const closeFile = promisify(close);

/** Carries bytes between a command's terminal and the streams of its request, until the command's end is closed. */
export class TerminalRelay {
  readonly #master: number;
  readonly #source: Readable | undefined;
  readonly #target: Writable;
  readonly #undo: (() => void)[] = [];
  readonly #done: Promise<void>;

  constructor(master: number, request: RunRequest) {
    this.#master = master;
    this.#target = request.stdout && request.stdout !== 'inherit' ? request.stdout : process.stdout;
    this.#source = request.stdin === 'inherit' ? process.stdin : asStream(request.stdin);
    this.#followSize();
    this.#readKeys();
    this.#done = this.#copyOutput();
  }

  /** Resolves when all output has been handed on; the user's terminal is as before then. */
  async finished(): Promise<void> {
    try {
      await this.#done;
    } finally {
      for (const undo of this.#undo.splice(0)) undo();
      await closeFile(this.#master).catch(() => undefined);
    }
  }

  #followSize(): void {
    const { stdout } = process;
    if (!stdout.isTTY) return;
    const follow = () => {
      const size = Buffer.alloc(8);
      size.writeUInt16LE(stdout.rows, 0);
      size.writeUInt16LE(stdout.columns, 2);
      ioctl(this.#master, SET_SIZE, size);
    };
    follow();
    stdout.on('resize', follow);
    this.#undo.push(() => stdout.off('resize', follow));
  }

  /** Keys go through raw: the command's terminal is the one that echoes and makes signals of them. */
  #readKeys(): void {
    const source = this.#source;
    if (!source) return;
    if (source === process.stdin && process.stdin.isTTY) this.#undo.push(makeRaw(0));
    const forward = (chunk: Buffer) => {
      source.pause();
      writeBytes(this.#master, chunk).then(
        () => source.resume(),
        () => undefined,
      );
    };
    source.on('data', forward);
    const end = () => void writeBytes(this.#master, Buffer.from([END_OF_FILE])).catch(() => undefined);
    source.once('end', end);
    this.#undo.push(() => {
      source.off('data', forward);
      source.off('end', end);
      source.pause();
    });
  }

  async #copyOutput(): Promise<void> {
    const buffer = Buffer.alloc(65_536);
    for (;;) {
      let length: number;
      try {
        length = (await readBytes(this.#master, buffer, 0, buffer.length, null)).bytesRead;
      } catch (error) {
        // Linux says EIO when the last user of the other end is gone.
        if (isSystemError(error, 'EIO', 'EBADF')) return;
        throw error;
      }
      if (length === 0) return;
      const chunk = Buffer.from(buffer.subarray(0, length));
      await new Promise<void>((resolve) => this.#target.write(chunk, () => resolve()));
    }
  }
}

/** Control-D: what a terminal makes an end of input of. */
const END_OF_FILE = 4;

function asStream(source: RunRequest['stdin']): Readable | undefined {
  return typeof source === 'object' ? source : undefined;
}
