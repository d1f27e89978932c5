import { ioctl } from '../../store/kernel/index.ts';

const GET = 0x5401; // TCGETS
const SET = 0x5402; // TCSETS
const SIZE_BYTES = 36;
/** Offsets of struct termios, and the bits that cfmakeraw(3) takes away there. */
const CLEARED: readonly (readonly [offset: number, bits: number])[] = [
  [0, 0o2753], // IGNBRK BRKINT PARMRK ISTRIP INLCR IGNCR ICRNL IXON
  [4, 0o1], // OPOST
  [8, 0o460], // CSIZE PARENB
  [12, 0o100113], // ECHO ECHONL ICANON ISIG IEXTEN
];
const CONTROL_FLAGS = 8;
const EIGHT_BITS = 0o60;
const CONTROL_CHARACTERS = 17;
const WAIT_TENTHS = 5;
const LEAST_BYTES = 6;

/**
 * Makes a terminal hand on every byte as it is, in both directions. Node's own raw mode goes on writing a carriage return
 * before each line feed.
 * @returns what sets the terminal back
 */
export function makeRaw(fd: number): () => void {
  const before = Buffer.alloc(SIZE_BYTES);
  ioctl(fd, GET, before);
  const raw = Buffer.from(before);
  for (const [offset, bits] of CLEARED) setFlags(raw, offset, raw.readUInt32LE(offset) & ~bits);
  setFlags(raw, CONTROL_FLAGS, raw.readUInt32LE(CONTROL_FLAGS) | EIGHT_BITS);
  raw[CONTROL_CHARACTERS + WAIT_TENTHS] = 0;
  raw[CONTROL_CHARACTERS + LEAST_BYTES] = 1;
  ioctl(fd, SET, raw);
  return () => void ioctl(fd, SET, before);
}

function setFlags(settings: Buffer, offset: number, flags: number): void {
  settings.writeUInt32LE(flags >>> 0, offset);
}
