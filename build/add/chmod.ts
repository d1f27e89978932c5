import { BuildError } from '../error.ts';

/** Changes permission bits (07777) of one file. */
export type ModeChange = (mode: number, isDirectory: boolean) => number;

const CLAUSE = /^([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)$/;

/**
 * Parses chmod(1)'s octal (`755`, `0644`) or symbolic (`u=rwX,go-w`) notation. A clause without who means all, with
 * no umask applied, as BuildKit has it. So are these, where chmods differ: `X` goes by the mode before any change,
 * `=` leaves the sticky bit, and `o+t` means nothing.
 * @throws BuildError `bad-option`
 */
export function parseChmod(text: string): ModeChange {
  if (/^[0-7]{1,5}$/.test(text) && Number.parseInt(text, 8) <= 0o7777) {
    const mode = Number.parseInt(text, 8);
    return () => mode;
  }
  const clauses = text.split(',').map((clause) => {
    const match = CLAUSE.exec(clause);
    if (!match)
      throw new BuildError(
        'bad-option',
        `parsing chmod "${text}": invalid mode, expected octal such as 0755 or symbolic such as u=rwX,go=rX`,
      );
    return { who: match[1] || 'a', actions: (match[2] as string).match(/[-+=][^-+=]*/g) ?? [] };
  });
  return (mode, isDirectory) => {
    const isSearchable = isDirectory || (mode & 0o111) !== 0;
    let result = mode & 0o7777;
    for (const { who, actions } of clauses)
      for (const action of actions) result = applyAction(result, who, action, isSearchable);
    return result;
  };
}

const SHIFTS: Record<string, number> = { u: 6, g: 3, o: 0 };

function applyAction(mode: number, who: string, action: string, isSearchable: boolean): number {
  const operator = action[0];
  const permissions = action.slice(1);
  const targets = who.includes('a') ? ['u', 'g', 'o'] : [...new Set(who)];
  let bits = 0;
  let mask = 0;
  for (const target of targets) {
    const shift = SHIFTS[target] as number;
    mask |= 0o7 << shift;
    bits |= basicBits(mode, permissions, isSearchable) << shift;
    if (permissions.includes('s') && target !== 'o') bits |= target === 'u' ? 0o4000 : 0o2000;
    if (target !== 'o') mask |= target === 'u' ? 0o4000 : 0o2000;
  }
  if (permissions.includes('t') && targets.some((target) => target !== 'o')) bits |= 0o1000;
  if (operator === '+') return mode | bits;
  if (operator === '-') return mode & ~bits;
  return (mode & ~mask) | bits;
}

function basicBits(mode: number, permissions: string, isSearchable: boolean): number {
  if (/^[ugo]$/.test(permissions)) return (mode >> (SHIFTS[permissions] as number)) & 0o7;
  let bits = 0;
  if (permissions.includes('r')) bits |= 4;
  if (permissions.includes('w')) bits |= 2;
  if (permissions.includes('x')) bits |= 1;
  if (permissions.includes('X') && isSearchable) bits |= 1;
  return bits;
}
