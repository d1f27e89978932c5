import { posix } from 'node:path';
import { byteSize } from '../../../image/byte-size.ts';
import { BuildError } from '../../error.ts';
import { mountFields } from '../../parse/mount-fields.ts';
import { nearest } from '../../parse/nearest.ts';

export const MOUNT_TYPES = ['bind', 'cache', 'tmpfs', 'secret', 'ssh'] as const;
export type MountType = (typeof MOUNT_TYPES)[number];

/** One `--mount` of a RUN, its fields checked: nothing that is not known for the type gets through (SECURITY B02, I8). */
export interface MountSpec {
  readonly type: MountType;
  /** As written, for messages. */
  readonly text: string;
  readonly from?: string;
  readonly source?: string;
  /** Absolute in the container; absent for secrets and agents without one. */
  readonly target?: string;
  /** `ro`, `rw` as asked for; undefined: the type's default. */
  readonly readOnly?: boolean;
  readonly id?: string;
  readonly sharing: 'shared' | 'private' | 'locked';
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly required: boolean;
  /** Name of the variable that gets a secret's value. */
  readonly env?: string;
  /** nosuid, nodev, noexec, propagation, recursion. */
  readonly flags: readonly string[];
  readonly recursive: boolean;
  readonly sizeText?: string;
  readonly modeText?: string;
  /** Copy what the tmpfs hides into it. */
  readonly copyUp: boolean;
}

const PROPAGATION = ['shared', 'rshared', 'private', 'rprivate', 'slave', 'rslave'];
const COMMON = ['type', 'target', 'dst', 'destination'];
const FLAG_KEYS = ['nosuid', 'nodev', 'noexec'];
const KEYS: Record<MountType, readonly string[]> = {
  bind: [
    ...COMMON,
    ...FLAG_KEYS,
    ...PROPAGATION,
    ...'from src source ro readonly rw readwrite bind-propagation bind-nonrecursive relabel Z z U no-dereference consistency'.split(
      ' ',
    ),
  ],
  cache: [
    ...COMMON,
    ...FLAG_KEYS,
    ...PROPAGATION,
    ...'from src source ro readonly rw readwrite bind-propagation id sharing mode uid gid Z z U'.split(' '),
  ],
  tmpfs: [
    ...COMMON,
    ...FLAG_KEYS,
    ...'ro readonly rw readwrite tmpcopyup tmpfs-mode tmpfs-size size mode'.split(' '),
  ],
  secret: [...COMMON, ...'id src source required mode uid gid env'.split(' ')],
  ssh: [...COMMON, ...'id required mode uid gid'.split(' ')],
};

/** What BuildKit takes for the type and makes nothing of. */
const IGNORED: Record<MountType, readonly string[]> = {
  bind: ['id', 'env'],
  cache: ['env'],
  tmpfs: ['source', 'src', 'from', 'id', 'env'],
  secret: ['ro', 'readonly', 'rw', 'readwrite'],
  ssh: ['env', 'from', 'ro', 'readonly', 'rw', 'readwrite'],
};

/** Keys that never take a value, and keys that may (`ro=true`, as BuildKit reads them). */
const BARE = new Set([
  ...FLAG_KEYS,
  ...PROPAGATION,
  'bind-nonrecursive',
  'Z',
  'z',
  'U',
  'no-dereference',
  'tmpcopyup',
]);
const SWITCHES = new Set(['ro', 'readonly', 'rw', 'readwrite', 'required']);

/**
 * Reads one `--mount` value whose variables were replaced.
 * @param workingDirectory where relative targets count from
 * @throws BuildError `bad-mount`
 */
export function parseMountSpec(text: string, workingDirectory: string): MountSpec {
  const fields = mountFields(text);
  const type = mountType(fields.find(([key]) => key === 'type')?.[1], text);
  const values = new Map<string, string>();
  const flags: string[] = [];
  for (const [key, value] of fields) {
    checkKey(type, key, value);
    if (key === 'bind-propagation') flags.push(propagation(value as string));
    else if (FLAG_KEYS.includes(key) || PROPAGATION.includes(key)) flags.push(key);
    values.set(key, value ?? '');
  }
  return makeSpec(text, type, values, flags, workingDirectory);
}

function mountType(value: string | undefined, text: string): MountType {
  if (value === undefined && !/(^|,)type($|[,=])/.test(text)) return 'bind';
  const type = (value ?? '').toLowerCase();
  if ((MOUNT_TYPES as readonly string[]).includes(type)) return type as MountType;
  const near = nearest(type, MOUNT_TYPES);
  throw new BuildError('bad-mount', `invalid mount type ${JSON.stringify(value ?? '')} in "${text}"`, {
    hint: near ? `did you mean ${near}?` : `types are ${MOUNT_TYPES.join(', ')}`,
  });
}

function checkKey(type: MountType, key: string, value: string | undefined): void {
  if (!KEYS[type].includes(key) && !IGNORED[type].includes(key)) {
    const near = nearest(key, KEYS[type]);
    throw new BuildError('bad-mount', `${key}: invalid mount option for a ${type} mount`, {
      ...(near ? { hint: `did you mean ${near}?` } : {}),
    });
  }
  if (BARE.has(key)) {
    if (value !== undefined)
      throw new BuildError('bad-mount', `${key}: must not provide an argument for option`);
  } else if (SWITCHES.has(key)) {
    if (value !== undefined && !/^(true|false|1|0)$/i.test(value))
      throw new BuildError('bad-mount', `invalid value for ${key}: ${value}`);
  } else if (key === 'from' && value === '')
    throw new BuildError(
      'bad-mount',
      'unable to resolve argument for `from=`: from points to an empty value',
    );
  else if (value === undefined || value === '')
    throw new BuildError('bad-mount', `${key}: must provide an argument for option`);
}

function propagation(value: string): string {
  if (!PROPAGATION.includes(value))
    throw new BuildError('bad-mount', `bind-propagation: "${value}": invalid mount option`);
  return value;
}

function makeSpec(
  text: string,
  type: MountType,
  values: ReadonlyMap<string, string>,
  flags: readonly string[],
  workingDirectory: string,
): MountSpec {
  const first = (...keys: string[]) =>
    keys.map((key) => values.get(key)).find((value) => value !== undefined);
  const target = first('target', 'dst', 'destination');
  if (target === undefined && type !== 'secret' && type !== 'ssh')
    throw new BuildError('bad-mount', `must set volume destination in mount "${text}"`, {
      hint: 'add target=/path',
    });
  const relabel = values.get('relabel');
  if (relabel !== undefined && relabel !== 'private' && relabel !== 'shared')
    throw new BuildError('bad-mount', "relabel mount option must be 'private' or 'shared'");
  return {
    type,
    text,
    ...optional('from', values.get('from')),
    ...optional('source', first('src', 'source')),
    ...(target === undefined ? {} : { target: posix.resolve('/', workingDirectory || '/', target) }),
    ...readOnlyOf(values),
    ...optional('id', values.get('id')),
    sharing: sharingOf(values.get('sharing')),
    ...number('mode', values.get('mode'), 8, type),
    ...number('uid', values.get('uid'), 10, type),
    ...number('gid', values.get('gid'), 10, type),
    required: values.has('required') && !/^(false|0)$/i.test(values.get('required') as string),
    ...optional('env', values.get('env')),
    flags,
    recursive: !values.has('bind-nonrecursive'),
    ...optional('sizeText', tmpfsSize(first('tmpfs-size', 'size'))),
    ...optional('modeText', first('tmpfs-mode', 'mode')),
    copyUp: values.has('tmpcopyup'),
  };
}

/** What the kernel reads: bytes, or a part of the memory in percent. */
function tmpfsSize(text: string | undefined): string | undefined {
  if (text === undefined || /^\d{1,3}%$/.test(text)) return text;
  const bytes = byteSize(text);
  if (bytes === undefined) throw new BuildError('bad-mount', `invalid value for size: ${text}`);
  return String(bytes);
}

function readOnlyOf(values: ReadonlyMap<string, string>): { readOnly?: boolean } {
  let result: boolean | undefined;
  for (const [key, value] of values) {
    const yes = !/^(false|0)$/i.test(value);
    if (key === 'ro' || key === 'readonly') result = yes;
    if (key === 'rw' || key === 'readwrite') result = !yes;
  }
  return result === undefined ? {} : { readOnly: result };
}

function sharingOf(value: string | undefined): MountSpec['sharing'] {
  const sharing = value?.toLowerCase() ?? 'shared';
  if (sharing === 'shared' || sharing === 'private' || sharing === 'locked') return sharing;
  const near = nearest(sharing, ['shared', 'private', 'locked']);
  throw new BuildError('bad-mount', `unrecognized value "${value}" for field \`sharing\``, {
    ...(near ? { hint: `did you mean ${near}?` } : {}),
  });
}

function optional<K extends string>(key: K, value: string | undefined): { [name in K]?: string } {
  return value === undefined ? {} : ({ [key]: value } as { [name in K]?: string });
}

function number<K extends 'mode' | 'uid' | 'gid'>(
  key: K,
  text: string | undefined,
  radix: 8 | 10,
  type: MountType,
): { [name in K]?: number } {
  if (text === undefined || type === 'tmpfs') return {};
  const digits = radix === 8 ? /^[0-7]{1,7}$/ : /^\d{1,10}$/;
  const value = Number.parseInt(text, radix);
  if (!digits.test(text) || value > 0xffff_fffe)
    throw new BuildError('bad-mount', `unable to parse ${type} ${key} "${text}"`);
  return { [key]: value } as { [name in K]?: number };
}
