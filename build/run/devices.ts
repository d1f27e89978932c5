import { lstatSync, readdirSync, readlinkSync, type Stats, statSync } from 'node:fs';
import { join, posix, resolve } from 'node:path';
import { isSystemError } from '../../errors.ts';
import { BuildError } from '../error.ts';
import type { SpecDevice } from './runtime-spec.ts';

/** A host device for a container, with what the device cgroup allows: some of `r`, `w`, `m`. */
export interface HostDevice extends SpecDevice {
  readonly source: string;
  readonly permissions: string;
}

/**
 * Reads a `--device` value, `HOST[:CONTAINER][:rwm]`; a directory stands for the devices in it.
 * @throws BuildError `bad-option` for a value that is malformed or names no device
 */
export function readDevices(option: string): HostDevice[] {
  const { source, destination, permissions } = splitOption(option);
  const real = followOnce(source);
  const status = statusOf(real);
  if (!status)
    throw new BuildError('bad-option', `getting info of source device ${source}: no such file or directory`);
  if (!status.isDirectory()) return [nodeOf(real, status, destination, permissions)];
  return readdirSync(real).flatMap((name) => {
    const path = join(real, name);
    const inner = statusOf(path);
    if (!inner || !(inner.isCharacterDevice() || inner.isBlockDevice())) return [];
    return [nodeOf(path, inner, posix.join(destination, name), permissions)];
  });
}

function splitOption(option: string): { source: string; destination: string; permissions: string } {
  const parts = option.split(':');
  const [source = '', second, third] = parts;
  const isMode = (text: string) => /^(?!.*(.).*\1)[rwm]+$/.test(text);
  if (source === '' || parts.length > 3)
    throw new BuildError('bad-option', `invalid device specification: ${option}`);
  if (third !== undefined && !isMode(third))
    throw new BuildError('bad-option', `invalid device mode: ${third}`);
  if (second === undefined) return { source, destination: source, permissions: 'rwm' };
  if (third === undefined && isMode(second)) return { source, destination: source, permissions: second };
  if (!second.startsWith('/')) throw new BuildError('bad-option', `invalid device mode: ${second}`);
  return { source, destination: second, permissions: third ?? 'rwm' };
}

function followOnce(path: string): string {
  try {
    if (lstatSync(path).isSymbolicLink()) return resolve(posix.dirname(path), readlinkSync(path));
  } catch (error) {
    if (!isSystemError(error)) throw error;
  }
  return path;
}

function statusOf(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false });
}

function nodeOf(source: string, status: Stats, path: string, permissions: string): HostDevice {
  if (!status.isCharacterDevice() && !status.isBlockDevice())
    throw new BuildError('bad-option', `${source} is not a valid device: not a device node`);
  return {
    source,
    path,
    permissions,
    type: status.isCharacterDevice() ? 'c' : 'b',
    // glibc's makedev layout.
    major: ((status.rdev >>> 8) & 0xfff) | (Math.floor(status.rdev / 2 ** 32) & ~0xfff),
    minor: (status.rdev & 0xff) | ((status.rdev >>> 12) & 0xfff00),
    fileMode: status.mode & 0o7777,
    uid: status.uid,
    gid: status.gid,
  };
}
