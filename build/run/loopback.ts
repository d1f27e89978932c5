import { closeDescriptor, ioctl } from '../../store/kernel/index.ts';
import { libcFunction } from '../../store/kernel/libc.ts';

const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const IFF_UP = 1;
const FLAGS_OFFSET = 16;

const nativeSocket = libcFunction('socket', 'int', ['int', 'int', 'int']);

/** Brings up `lo` in the calling thread's network namespace, as runtimes do in a new one. */
export function raiseLoopback(): void {
  const socket = nativeSocket(AF_INET, SOCK_DGRAM_CLOEXEC, 0);
  if (socket < 0) return;
  try {
    const request = Buffer.alloc(40);
    request.write('lo');
    ioctl(socket, SIOCGIFFLAGS, request);
    request.writeUInt16LE(request.readUInt16LE(FLAGS_OFFSET) | IFF_UP, FLAGS_OFFSET);
    ioctl(socket, SIOCSIFFLAGS, request);
  } finally {
    closeDescriptor(socket);
  }
}
