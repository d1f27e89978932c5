import { existsSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import type { AutomaticIds } from '../../../build/container/automatic-ids.ts';
import type { CreateWorkingContainerOptions, NamespaceOption } from '../../../build/container/contract.ts';
import { isSystemError, systemErrorText } from '../../../errors.ts';
import type { IdRange } from '../../../store/layer/contract.ts';
import type { Flags } from '../../cli/contract.ts';
import { usage } from './arguments.ts';

/** What the flags say about the user namespace. */
export interface UserNamespaceOptions
  extends Pick<CreateWorkingContainerOptions, 'idMappings' | 'automaticIds'> {
  readonly namespaces: readonly NamespaceOption[];
}

/** Reads `--userns` and the flags with its mappings. */
export function userNamespaceOptions(flags: Flags): UserNamespaceOptions {
  const { uids, gids } = givenMappings(flags);
  const how = flags.changed('userns') ? flags.string('userns') : undefined;
  if (how === undefined && uids.length === 0) return { namespaces: [] };
  if (how === 'host') {
    if (uids.length) throw usage("can not specify ID mappings while using host's user namespace");
    return { namespaces: [user({ Host: true })] };
  }
  if (how !== undefined && /^auto(:|$)/.test(how))
    return { namespaces: [user()], automaticIds: automaticIds(how) };
  const path = how === undefined || ['', 'container', 'private'].includes(how) ? '' : how.replace(/^ns:/, '');
  if (path) requireNamespace(path);
  if (path && isOwn(path)) return { namespaces: [user({ Host: true })] };
  if (uids.length) return { namespaces: [user({ Path: path })], idMappings: { uids, gids } };
  if (path) return { namespaces: [user({ Path: path })] };
  return {
    namespaces: [user()],
    idMappings: { uids: privateRanges('/proc/self/uid_map'), gids: privateRanges('/proc/self/gid_map') },
  };
}

function user(options: { readonly Host?: boolean; readonly Path?: string } = {}): NamespaceOption {
  return { Name: 'user', Host: false, Path: '', ...options };
}

function requireNamespace(path: string): void {
  try {
    statSync(path);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw usage(
      `parsing ID mapping options: checking user namespace: ${systemErrorText(error).replace(/^stat /, 'faccessat ')}`,
    );
  }
}

/** The namespace that this process is in cannot be joined once more. */
function isOwn(path: string): boolean {
  try {
    return readlinkSync(path) === readlinkSync('/proc/self/ns/user');
  } catch {
    // A bind mount of a namespace is no link.
    return false;
  }
}

/** One map stands for both where only one is given. */
function givenMappings(flags: Flags): {
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
} {
  const owner = flags.string('userns-uid-map-user') || flags.string('userns-gid-map-group');
  const group = flags.string('userns-gid-map-group') || owner;
  const uidMap = rangesOf(flags, 'userns-uid-map');
  const gidMap = rangesOf(flags, 'userns-gid-map');
  if (gidMap.length && !uidMap.length)
    throw usage('option --userns-gid-map can not be used without --userns-uid-map');
  const uids = [...(owner ? subordinate('/etc/subuid', owner) : []), ...uidMap];
  const gids = [...(group ? subordinate('/etc/subgid', group) : []), ...gidMap];
  return { uids, gids: gids.length ? gids : uids };
}

/** Triples of numbers between anything that is none, as Buildah takes them. */
function rangesOf(flags: Flags, name: string): IdRange[] {
  const texts = flags.list(name);
  const malformed = () => {
    const list = texts.map((text) => JSON.stringify(text)).join(' ');
    return usage(
      `initializing ID mappings: ${name} setting is malformed expected ["uint32:uint32:uint32"]: [${list}]`,
    );
  };
  return texts.flatMap((text) => {
    const numbers = text.split(/\D+/).filter(Boolean).map(Number);
    if (numbers.length === 0 || numbers.length % 3 !== 0) throw malformed();
    if (numbers.some((number) => number > 0xffff_ffff)) throw malformed();
    return Array.from({ length: numbers.length / 3 }, (_, at): IdRange => {
      const [containerId = 0, hostId = 0, size = 0] = numbers.slice(at * 3);
      return { containerId, hostId, size };
    });
  });
}

const AUTO_OPTIONS = ['size', 'uidmapping', 'gidmapping'];

function automaticIds(text: string): AutomaticIds {
  const options = text
    .replace(/^auto:?/, '')
    .split(',')
    .filter(Boolean);
  const all = (name: string) =>
    options.filter((option) => option.startsWith(`${name}=`)).map((option) => option.slice(name.length + 1));
  for (const option of options) {
    const name = option.split('=')[0] ?? '';
    if (!AUTO_OPTIONS.includes(name)) throw usage(`unknown option specified: "${name}"`);
  }
  const size = all('size').at(-1);
  if (size !== undefined && !/^[1-9]\d{0,9}$/.test(size))
    throw usage(`invalid size "${size}" of --userns=auto`);
  return {
    ...(size === undefined ? {} : { size: Number(size) }),
    uids: all('uidmapping').map(oneRange),
    gids: all('gidmapping').map(oneRange),
    lent: {
      uids: subordinate('/etc/subuid', 'containers'),
      gids: subordinate('/etc/subgid', 'containers'),
    },
  };
}

function oneRange(text: string): IdRange {
  const match = /^(\d{1,10}):(\d{1,10}):(\d{1,10})$/.exec(text);
  if (!match) throw usage(`mapping "${text}" is not of the form CONTAINER:HOST:LENGTH`);
  return { containerId: Number(match[1]), hostId: Number(match[2]), size: Number(match[3]) };
}

function subordinate(file: string, name: string): IdRange[] {
  let containerId = 0;
  const ranges: IdRange[] = [];
  for (const line of existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []) {
    const [owner, first, count] = line.split(':');
    if (owner !== name) continue;
    ranges.push({ containerId, hostId: Number(first), size: Number(count) });
    containerId += Number(count);
  }
  if (ranges.length === 0)
    throw usage(
      `parsing ID mapping options: no ${basename(file)} ranges found for user "${name}" in ${file}`,
    );
  return ranges;
}

/** All ids of this namespace, mapped to themselves: a private namespace without a mapping of its own. */
function privateRanges(file: string): IdRange[] {
  return readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => {
      const [inside = '0', , count = '0'] = line.trim().split(/\s+/);
      return { containerId: Number(inside), hostId: Number(inside), size: Number(count) };
    });
}
