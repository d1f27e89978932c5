import { nearest } from './nearest.ts';

/**
 * `flag`: true or false, alone it is true. `text`: needs `=value`; `optional`: an empty value counts as none. `list`: each
 * one counts; of the others the last does.
 */
export type FlagKind = 'flag' | 'text' | 'optional' | 'list';

export interface InstructionFlags {
  text(name: string): string | undefined;
  list(name: string): readonly string[];
  flag(name: string): boolean | undefined;
}

/** What is wrong with a flag, and what was probably meant; the caller adds file and line. */
export class FlagProblem {
  readonly message: string;
  readonly hint: string | undefined;
  constructor(message: string, hint?: string) {
    this.message = message;
    this.hint = hint;
  }
}

/** Reads an instruction's flags by the table of those it knows. @throws FlagProblem */
export function readFlags(
  words: readonly string[],
  known: Readonly<Record<string, FlagKind>>,
  instruction: string,
): InstructionFlags {
  const values = new Map<string, string[]>();
  for (const word of words) {
    const equals = word.indexOf('=');
    const name = equals < 0 ? word.slice(2) : word.slice(2, equals);
    const kind = Object.hasOwn(known, name) ? known[name] : undefined;
    if (kind === undefined) throw unknownFlag(name, known, instruction);
    const value = readValue(name, kind, equals < 0 ? undefined : word.slice(equals + 1), instruction);
    if (value !== '') values.set(name, kind === 'list' ? [...(values.get(name) ?? []), value] : [value]);
  }
  return {
    text: (name) => values.get(name)?.[0],
    list: (name) => values.get(name) ?? [],
    flag: (name) => (values.has(name) ? values.get(name)?.[0] === 'true' : undefined),
  };
}

function unknownFlag(
  name: string,
  known: Readonly<Record<string, FlagKind>>,
  instruction: string,
): FlagProblem {
  const names = Object.keys(known);
  const near = nearest(name, names);
  const list = names.map((flag) => `--${flag}${known[flag] === 'flag' ? '' : '=<value>'}`);
  const supported =
    list.length === 0
      ? `${instruction} takes no flags`
      : `${instruction} only supports the ${list.join(', ')} flag${list.length === 1 ? '' : 's'}`;
  return new FlagProblem(
    `unknown flag: --${name}, ${supported}`,
    near === undefined ? undefined : `did you mean --${near}?`,
  );
}

/** Sentences that scripts know from Buildah. */
function summaryOf(instruction: string): string {
  if (instruction === 'COPY')
    return ': COPY only supports the --chmod=<permissions> --chown=<uid:gid> --from=<image|stage> and the --exclude=<pattern> flags, besides --link and --parents';
  if (instruction === 'ADD')
    return ': ADD only supports the --chmod=<permissions>, --chown=<uid:gid>, and --checksum=<checksum> --exclude=<pattern> flags, besides --link, --keep-git-dir and --unpack';
  return '';
}

function readValue(name: string, kind: FlagKind, value: string | undefined, instruction: string): string {
  if (kind !== 'flag') {
    if (value === undefined)
      throw new FlagProblem(`missing a value on flag: --${name}${summaryOf(instruction)}`);
    if (value === '' && kind !== 'optional') throw new FlagProblem(`no value specified for --${name}=`);
    return value;
  }
  const folded = value?.toLowerCase() ?? 'true';
  if (folded === '') throw new FlagProblem(`missing a value on flag: --${name}`);
  if (folded !== 'true' && folded !== 'false')
    throw new FlagProblem(`expecting boolean value for flag --${name}, not: ${value}`);
  return folded;
}
