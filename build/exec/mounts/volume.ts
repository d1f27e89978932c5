import { existsSync } from 'node:fs';
import { posix } from 'node:path';
import { BuildError } from '../../error.ts';
import type { RunMount } from '../../run/contract.ts';
import { discardingOverlay } from './bind.ts';
import { changeOwner } from './change-owner.ts';
import { MOUNT_OPTIONS, volumeOptions } from './volume-options.ts';

/** What {@link prepareVolumes} may need. */
export interface VolumeSurroundings {
  /** An existing directory that goes after the run. */
  readonly scratch: string;
  /** The host's ids of the user who runs the command; asked for where a volume is to be theirs. */
  readonly owner: () => { readonly uid: number; readonly gid: number };
}

/**
 * `--volume host:container[:options]` of the command line as mounts. `O` gives a writable view whose changes are lost,
 * `U` gives the host's directory to the container's user.
 * @throws BuildError `bad-mount`
 */
export async function prepareVolumes(
  volumes: readonly string[],
  surroundings: VolumeSurroundings,
): Promise<RunMount[]> {
  return volumes.map((text) => prepareVolume(text, surroundings));
}

/** The parts between colons; `\\:` is a colon of a path. */
export function volumeFields(text: string): string[] {
  return text.split(/(?<!\\):/).map((field) => field.replaceAll('\\:', ':'));
}

/** @throws BuildError `bad-mount` */
export function parseVolume(text: string): { host: string; container: string; options: readonly string[] } {
  const [host = '', container = '', options, ...rest] = volumeFields(text);
  if (rest.length > 0 || host === '' || container === '')
    throw new BuildError(
      'bad-mount',
      `incorrect volume format "${text}", should be host-dir:ctr-dir[:option]`,
    );
  if (!posix.isAbsolute(host))
    throw new BuildError('bad-mount', `invalid host path, must be an absolute path "${host}"`);
  if (!existsSync(host)) throw new BuildError('bad-mount', `stat ${host}: no such file or directory`);
  if (!posix.isAbsolute(container))
    throw new BuildError('bad-mount', `invalid container path "${container}", must be an absolute path`);
  return { host, container, options: volumeOptions(options ? options.split(',') : []) };
}

function prepareVolume(text: string, { scratch, owner }: VolumeSurroundings): RunMount {
  const { host, container, options } = parseVolume(text);
  if (options.includes('U')) changeOwner(host, owner());
  if (options.includes('O')) {
    checkOverlay(options);
    return discardingOverlay(host, container, scratch, options);
  }
  const kept = options.filter((option) => MOUNT_OPTIONS.has(option));
  return { type: 'bind', source: host, destination: container, options: kept };
}

function checkOverlay(options: readonly string[]): void {
  const has = (name: string) => options.some((option) => option.startsWith(`${name}=`));
  if (has('upperdir') !== has('workdir'))
    throw new BuildError('bad-mount', 'if specifying upperdir then workdir must be specified or vice versa');
}
