import { isIP } from 'node:net';

/** An IP address in its 4 or 16 bytes. An IPv4 address in IPv6 form is an IPv4 address. */
export type Address = Buffer;

export interface Subnet {
  /** The network's own address. */
  readonly address: Address;
  readonly prefix: number;
}

/** Undefined for what is no address, and for one with a zone. */
export function parseAddress(text: string): Address | undefined {
  const version = text.includes('%') ? 0 : isIP(text);
  if (version === 4) return Buffer.from(text.split('.').map(Number));
  if (version !== 6) return undefined;
  const [head = '', tail] = text.split('::');
  const before = groupBytes(head);
  const after = groupBytes(tail ?? '');
  const bytes = Buffer.from([...before, ...Array(16 - before.length - after.length).fill(0), ...after]);
  const mapped = bytes.readBigUInt64BE(0) === 0n && bytes.readUInt32BE(8) === 0xffff;
  return mapped ? bytes.subarray(12) : bytes;
}

function groupBytes(text: string): number[] {
  return text
    .split(':')
    .filter((group) => group !== '')
    .flatMap((group) => {
      if (group.includes('.')) return group.split('.').map(Number);
      const value = Number.parseInt(group, 16);
      return [value >> 8, value & 0xff];
    });
}

/** As Go and RFC 5952 write it; databases of addresses have such text as keys. */
export function formatAddress(address: Address): string {
  if (address.length === 4) return address.join('.');
  const groups = Array.from({ length: 8 }, (_, index) => address.readUInt16BE(index * 2).toString(16));
  const zeros = longestZeros(groups);
  if (zeros.length < 2) return groups.join(':');
  const end = zeros.start + zeros.length;
  return `${groups.slice(0, zeros.start).join(':')}::${groups.slice(end).join(':')}`;
}

function longestZeros(groups: readonly string[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let run = { start: 0, length: 0 };
  for (const [index, group] of groups.entries()) {
    if (group !== '0') run = { start: index + 1, length: 0 };
    else run = { ...run, length: run.length + 1 };
    if (run.length > best.length) best = run;
  }
  return best;
}

/** `ADDRESS/PREFIX`; the bits behind the prefix are cleared. Undefined for anything else. */
export function parseSubnet(text: string): Subnet | undefined {
  const [, base = '', length = ''] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  const address = parseAddress(base);
  const prefix = Number(length);
  if (address === undefined || prefix > address.length * 8) return undefined;
  return { address: masked(address, prefix), prefix };
}

export function formatSubnet({ address, prefix }: Subnet): string {
  return `${formatAddress(address)}/${prefix}`;
}

function masked(address: Address, prefix: number): Address {
  return Buffer.from(address.map((byte, index) => byte & ~(0xff >> clamp(prefix - index * 8))));
}

const clamp = (bits: number) => Math.min(8, Math.max(0, bits));

export function contains({ address, prefix }: Subnet, candidate: Address): boolean {
  return candidate.length === address.length && masked(candidate, prefix).equals(address);
}

export function lastAddress({ address, prefix }: Subnet): Address {
  return Buffer.from(address.map((byte, index) => byte | (0xff >> clamp(prefix - index * 8))));
}

/** The address a number of steps away; goes round at the ends. */
export function step(address: Address, by: 1 | -1): Address {
  const moved = Buffer.from(address);
  for (let index = moved.length - 1; index >= 0; index -= 1) {
    const before = moved[index] as number;
    moved[index] = before + by;
    if (before !== (by === 1 ? 0xff : 0)) break;
  }
  return moved;
}
