import { BuildError } from '../error.ts';

/** A git repository as ADD and contexts name it: `url#ref:directory` (Buildah), or with BuildKit's query. */
export interface GitSource {
  readonly repository: string;
  /** Branch, tag or commit; empty: what the remote's HEAD is. */
  readonly ref: string;
  readonly directory: string;
  /** What the commit's id must begin with. */
  readonly commit?: string;
  /** Fetch {@link commit} itself and do not compare it with {@link ref}. */
  readonly fetchByCommit: boolean;
  readonly keepGitDirectory?: boolean;
  /** BuildKit fetches them unless told otherwise, Buildah never: a query asks for BuildKit's way. */
  readonly submodules: boolean;
  /** Files get the commit's date. */
  readonly commitTimes: boolean;
}

const FLAGS = ['keep-git-dir', 'submodules', 'fetch-by-commit'];
const KEYS = ['ref', 'tag', 'branch', 'subdir', 'checksum', 'commit', 'mtime', ...FLAGS];

/** @throws BuildError `bad-argument` for an unknown or contradictory query and for a ref that is none */
export function parseGitSource(source: string): GitSource {
  const [beforeHash = '', fragment = ''] = source.split('#', 2);
  const question = beforeHash.indexOf('?');
  const repository = question < 0 ? beforeHash : beforeHash.slice(0, question);
  const query = question < 0 ? undefined : parseQuery(beforeHash.slice(question + 1));
  const colon = fragment.indexOf(':');
  const value = (key: string) => query?.get(key);
  const ref = agreed('ref', [
    colon < 0 ? fragment : fragment.slice(0, colon),
    value('ref'),
    prefixed('refs/tags/', value('tag')),
    prefixed('refs/heads/', value('branch')),
  ]);
  if (ref !== '' && !isRef(ref)) throw bad(`${JSON.stringify(ref)} is no branch, tag or commit`);
  const commit = agreed('commit', [value('checksum'), value('commit')]);
  if (commit !== '' && !/^[0-9a-f]{4,64}$/.test(commit)) throw bad(`${JSON.stringify(commit)} is no commit`);
  const keep = flag(query, 'keep-git-dir');
  return {
    repository,
    ref,
    directory: agreed('subdir', [colon < 0 ? '' : fragment.slice(colon + 1), value('subdir')]),
    ...(commit ? { commit } : {}),
    fetchByCommit: flag(query, 'fetch-by-commit') ?? false,
    ...(keep === undefined ? {} : { keepGitDirectory: keep }),
    submodules: flag(query, 'submodules') ?? query !== undefined,
    commitTimes: commitTimes(value('mtime')),
  };
}

function parseQuery(text: string): ReadonlyMap<string, string> {
  const query = new Map<string, string>();
  for (const [key, value] of new URLSearchParams(text)) {
    if (!KEYS.includes(key)) throw bad(`unexpected query ${JSON.stringify(key)}`);
    if (query.has(key)) throw bad(`query ${JSON.stringify(key)} has multiple values`);
    if (value === '' && !FLAGS.includes(key)) throw bad(`query ${JSON.stringify(key)} has no value`);
    query.set(key, value);
  }
  return query;
}

function flag(query: ReadonlyMap<string, string> | undefined, key: string): boolean | undefined {
  const value = query?.get(key);
  if (value === undefined) return undefined;
  if (value === '' || /^(?:1|t|true)$/i.test(value)) return true;
  if (/^(?:0|f|false)$/i.test(value)) return false;
  throw bad(`invalid ${key} value: ${JSON.stringify(value)}`);
}

function commitTimes(value: string | undefined): boolean {
  if (value !== undefined && value !== 'commit' && value !== 'checkout')
    throw bad(`invalid mtime value: ${JSON.stringify(value)} (must be "checkout" or "commit")`);
  return value === 'commit';
}

/** The one value that is given; several must be the same. */
function agreed(what: string, values: readonly (string | undefined)[]): string {
  const given = [...new Set(values.filter((value) => value !== undefined && value !== ''))];
  if (given.length > 1)
    throw bad(`${what} conflicts: ${given.map((value) => JSON.stringify(value)).join(' vs ')}`);
  return given[0] ?? '';
}

function prefixed(prefix: string, name: string | undefined): string | undefined {
  return name === undefined || name.startsWith(prefix) ? name : prefix + name;
}

/** SECURITY B11: nothing that git would read as an option, a refspec or a revision expression. */
function isRef(ref: string): boolean {
  const forbidden = /^[-+/]|[\s\p{Cc}~^:?*[\\]|\.\.|@\{|\/\/|\.lock$|[./]$/u;
  return !forbidden.test(ref) && ref.length <= 1024;
}

function bad(why: string): BuildError {
  return new BuildError('bad-argument', `reading a git source: ${why}`, {
    hint: 'write URL.git#REF:DIRECTORY, or URL.git?ref=REF&subdir=DIRECTORY',
  });
}
