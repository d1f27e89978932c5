import { readlinkSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isSystemError } from '../../errors.ts';
import { AT_FDCWD, chownDescriptor, closeDescriptor, OPEN, openAt } from '../../store/kernel/index.ts';
import { libcFunction } from '../../store/kernel/libc.ts';
import type { RunRequest } from './contract.ts';
import { openHostTerminal, TerminalRelay } from './terminal.ts';

const nativePipe = libcFunction('pipe2', 'int', ['void*', 'int']);
const CLOSE_ON_EXEC = 0o2000000;

/** Descriptors 0, 1 and 2 for a command, as child_process takes them, and the pumps behind them. */
export interface CommandStdio {
  readonly descriptors: [number | 'ignore' | 'inherit', number | 'inherit', number | 'inherit'];
  /** Closes the command's ends here; call it as soon as the command has them. */
  started(): void;
  /** Resolves when everything that the command wrote has been handed on; afterwards nothing is open. */
  finished(): Promise<void>;
  /** Gives up on pumps that would wait for ever (a daemon outside the command's namespaces holds a pipe). */
  abandon(): void;
}

/**
 * Connects a command to the streams of a request. Real pipes, not Node's socket pairs, so that opening /dev/stdout
 * works inside; they belong to the command's user, who could not open them otherwise.
 */
export function openStdio(
  request: RunRequest,
  owner: { readonly uid: number; readonly gid: number },
): CommandStdio {
  const theirs: number[] = [];
  const pumps: Promise<void>[] = [];
  const sockets: Socket[] = [];
  const own = (number: 0 | 1 | 2, flags: number): number | 'inherit' => {
    const fd = reopenPipe(number, flags);
    if (fd !== undefined) theirs.push(fd);
    // A socket cannot be opened anew. Starting the command sets back what this does to it.
    else process.stderr.writable;
    return fd ?? 'inherit';
  };
  const output = (number: 1 | 2, target: Writable | 'inherit' | undefined): number | 'inherit' => {
    if (target === undefined || target === 'inherit') return own(number, OPEN.writeOnly);
    const [readEnd, writeEnd] = openPipe();
    chownDescriptor(writeEnd, owner.uid, owner.gid);
    theirs.push(writeEnd);
    const socket = new Socket({ fd: readEnd, readable: true, writable: false });
    sockets.push(socket);
    pumps.push(pump(socket, target));
    return writeEnd;
  };
  const input = (source: Readable | 'inherit' | 'ignore' | undefined): number | 'ignore' | 'inherit' => {
    if (source === undefined || source === 'ignore') return 'ignore';
    if (source === 'inherit') return own(0, OPEN.readOnly);
    const [readEnd, writeEnd] = openPipe();
    chownDescriptor(readEnd, owner.uid, owner.gid);
    theirs.push(readEnd);
    const socket = new Socket({ fd: writeEnd, readable: false, writable: true });
    sockets.push(socket);
    // The command may end without reading everything: that is no failure.
    pipeline(source, socket).catch(() => undefined);
    return readEnd;
  };
  const closeTheirs = () => {
    for (const fd of theirs.splice(0)) closeDescriptor(fd);
  };
  const descriptors: CommandStdio['descriptors'] = [
    input(request.stdin),
    output(1, request.stdout),
    output(2, request.stderr),
  ];
  return {
    descriptors,
    started: closeTheirs,
    finished: async () => {
      const results = await Promise.allSettled(pumps);
      for (const socket of sockets) socket.destroy();
      for (const result of results) if (result.status === 'rejected') throw result.reason;
    },
    abandon: () => {
      closeTheirs();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/**
 * A pipe of ours, opened anew for the command: Node makes its own non-blocking when it first needs it, at the latest when
 * a socket closes, and what the command then wrote faster than anyone reads would be lost.
 * @returns nothing for what is no pipe, or is another user's
 */
function reopenPipe(number: number, flags: number): number | undefined {
  try {
    const path = `/proc/self/fd/${number}`;
    return readlinkSync(path).startsWith('pipe:') ? openAt(AT_FDCWD, path, flags) : undefined;
  } catch (error) {
    if (isSystemError(error, 'EACCES', 'ENOENT')) return undefined;
    throw error;
  }
}

/** Hands on what arrives without closing the target, and reads no faster than the target takes it. */
async function pump(source: Readable, target: Writable): Promise<void> {
  for await (const chunk of source) {
    if (target.write(chunk) || target.destroyed) continue;
    await new Promise<void>((resolve) => {
      const go = () => {
        for (const event of ['drain', 'close', 'error']) target.off(event, go);
        resolve();
      };
      for (const event of ['drain', 'close', 'error']) target.once(event, go);
    });
  }
}

function openPipe(): [number, number] {
  const pair = Buffer.alloc(8);
  if (nativePipe(pair, CLOSE_ON_EXEC) !== 0) throw new Error('pipe2 failed: too many open files');
  return [pair.readInt32LE(0), pair.readInt32LE(4)];
}

/** One pseudo-terminal of the host in place of the three streams, for a runtime that wants a terminal to hand on. */
export function openTerminalStdio(request: RunRequest): CommandStdio {
  const { master, slave } = openHostTerminal();
  const relay = new TerminalRelay(master, request);
  let open = true;
  const close = () => {
    if (open) closeDescriptor(slave);
    open = false;
  };
  return {
    descriptors: [slave, slave, slave],
    started: close,
    finished: () => relay.finished(),
    abandon: close,
  };
}
