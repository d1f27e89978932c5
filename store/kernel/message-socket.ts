import { closeSync } from 'node:fs';
import { StoreError } from '../error.ts';
import { type Koffi, lastErrno, libcFunction, loadKoffi, type NativeFunction, systemError } from './libc.ts';

const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const CLOSE_ON_EXEC = 0o2000000;
const POLL_IN = 1;
/** So long a wait cannot be interrupted. */
const WAIT_MS = 200;
/** Length, level and type before the descriptors of a control message, on machines of 64 bits. */
const CONTROL_HEADER_BYTES = 16;

const getOption = libcFunction('getsockopt', 'int', ['int', 'int', 'int', 'void*', 'void*']);
const receive = libcFunction('recv', 'long', ['int', 'void*', 'size_t', 'int']);
const pipe2 = libcFunction('pipe2', 'int', ['void*', 'int']);

let native: { readonly poll: NativeFunction; readonly send: NativeFunction } | undefined;

/** A socket of whole messages (SOCK_SEQPACKET) that this process was started with; messages may carry descriptors. */
export class MessageSocket {
  readonly #descriptor: number;
  readonly #limitBytes: number;

  /**
   * @param limitBytes the longest message that is received; what is longer is cut
   * @throws an error of the system for a descriptor that is no socket
   */
  constructor(descriptor: number, limitBytes: number) {
    this.#descriptor = descriptor;
    this.#limitBytes = limitBytes;
    const type = Buffer.alloc(4);
    if (getOption(descriptor, SOL_SOCKET, SO_TYPE, type, Buffer.from([4, 0, 0, 0])) !== 0)
      throw systemError(lastErrno(), 'getsockopt');
  }

  /** The next message; undefined once the other side is closed. */
  async receive(signal?: AbortSignal): Promise<Buffer | undefined> {
    while (!(await this.#isReadable())) signal?.throwIfAborted();
    const bytes = Buffer.allocUnsafe(this.#limitBytes);
    const count = Number(receive(this.#descriptor, bytes, bytes.length, MSG_DONTWAIT));
    if (count < 0) throw systemError(lastErrno(), 'recvfrom');
    return count === 0 ? undefined : bytes.subarray(0, count);
  }

  /** Sends one message and copies of descriptors with it. */
  send(bytes: Uint8Array, descriptors: readonly number[] = []): void {
    const control = descriptors.length ? controlMessage(descriptors) : null;
    const message = {
      name: null,
      nameLength: 0,
      parts: { base: bytes, length: bytes.length },
      count: 1,
      control,
      controlLength: control?.length ?? 0,
      flags: 0,
    };
    const sent = Number(functions().send(this.#descriptor, message, MSG_NOSIGNAL));
    if (sent < 0) throw systemError(loadKoffi().errno(), 'sendmsg');
    if (sent !== bytes.length) throw new StoreError('truncated', 'a message could not be sent whole');
  }

  /** Waits on a thread of libuv's pool. */
  #isReadable(): Promise<boolean> {
    const entry = Buffer.alloc(8);
    entry.writeInt32LE(this.#descriptor, 0);
    entry.writeInt16LE(POLL_IN, 4);
    return new Promise((resolve, reject) =>
      functions().poll.async(entry, 1, WAIT_MS, (error: unknown, ready: number) =>
        error ? reject(error) : resolve(ready > 0),
      ),
    );
  }
}

/** The reading and the writing end of a new pipe. */
export function openPipe(): readonly [number, number] {
  const pair = Buffer.alloc(8);
  if (pipe2(pair, CLOSE_ON_EXEC) !== 0) throw systemError(lastErrno(), 'pipe2');
  return [pair.readInt32LE(0), pair.readInt32LE(4)];
}

export function closeDescriptors(descriptors: readonly number[]): void {
  for (const descriptor of descriptors) closeSync(descriptor);
}

function functions(): NonNullable<typeof native> {
  native ??= bind(loadKoffi());
  return native;
}

function bind(koffi: Koffi): NonNullable<typeof native> {
  koffi.struct('message_part', { base: 'void *', length: 'size_t' });
  koffi.struct('message_header', {
    name: 'void *',
    nameLength: 'uint32_t',
    parts: 'message_part *',
    count: 'size_t',
    control: 'void *',
    controlLength: 'size_t',
    flags: 'int',
  });
  const library = koffi.load(null);
  return {
    poll: library.func('int poll(void *entries, unsigned long count, int timeout)'),
    send: library.func('long sendmsg(int descriptor, _In_ message_header *message, int flags)'),
  };
}

function controlMessage(descriptors: readonly number[]): Buffer {
  const length = CONTROL_HEADER_BYTES + 4 * descriptors.length;
  // The kernel wants its whole words, the length without what fills the last one.
  const message = Buffer.alloc(Math.ceil(length / 8) * 8);
  message.writeBigUInt64LE(BigInt(length), 0);
  message.writeInt32LE(SOL_SOCKET, 8);
  message.writeInt32LE(SCM_RIGHTS, 12);
  for (const [at, descriptor] of descriptors.entries())
    message.writeInt32LE(descriptor, CONTROL_HEADER_BYTES + 4 * at);
  return message;
}
