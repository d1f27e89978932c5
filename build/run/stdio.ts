import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { chownDescriptor, closeDescriptor } from '../../store/kernel/index.ts';
import { libcFunction } from '../../store/kernel/libc.ts';
import type { RunRequest } from './contract.ts';

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
  const output = (target: Writable | 'inherit' | undefined): number | 'inherit' => {
    if (target === undefined || target === 'inherit') return 'inherit';
    const [readEnd, writeEnd] = openPipe();
    chownDescriptor(writeEnd, owner.uid, owner.gid);
    theirs.push(writeEnd);
    const socket = new Socket({ fd: readEnd, readable: true, writable: false });
    sockets.push(socket);
    pumps.push(pipeline(socket, target, { end: false }));
    return writeEnd;
  };
  const input = (source: Readable | 'inherit' | 'ignore' | undefined): number | 'ignore' | 'inherit' => {
    if (source === undefined || source === 'ignore') return 'ignore';
    if (source === 'inherit') return 'inherit';
    const [readEnd, writeEnd] = openPipe();
    chownDescriptor(readEnd, owner.uid, owner.gid);
    theirs.push(readEnd);
    const socket = new Socket({ fd: writeEnd, readable: false, writable: true });
    sockets.push(socket);
    // The command may end without reading everything: that is no failure.
    pipeline(source, socket).catch(() => undefined);
    return readEnd;
  };
  const descriptors: CommandStdio['descriptors'] = [
    input(request.stdin),
    output(request.stdout),
    output(request.stderr),
  ];
  return {
    descriptors,
    started: () => {
      for (const fd of theirs.splice(0)) closeDescriptor(fd);
    },
    finished: async () => {
      const results = await Promise.allSettled(pumps);
      for (const socket of sockets) socket.destroy();
      for (const result of results) if (result.status === 'rejected') throw result.reason;
    },
    abandon: () => {
      for (const fd of theirs.splice(0)) closeDescriptor(fd);
      for (const socket of sockets) socket.destroy();
    },
  };
}

function openPipe(): [number, number] {
  const pair = Buffer.alloc(8);
  if (nativePipe(pair, CLOSE_ON_EXEC) !== 0) throw new Error('pipe2 failed: too many open files');
  return [pair.readInt32LE(0), pair.readInt32LE(4)];
}
