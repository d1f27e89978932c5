import { BuildError } from '../../error.ts';

/** Options that exclude each other and themselves, and how Buildah names the choice between them. */
const CHOICES: readonly (readonly [names: string, choice: string])[] = [
  ['noexec exec', "'noexec' or 'exec' option"],
  ['nodev dev', "'nodev' or 'dev' option"],
  ['nosuid suid', "'nosuid' or 'suid' option"],
  ['rw ro', "'rw' or 'ro' option"],
  ['z Z O', "'z', 'Z', or 'O' option"],
  ['U', "'U' option"],
  [
    'private rprivate shared rshared slave rslave unbindable runbindable',
    "'[r]shared', '[r]private', '[r]slave' or '[r]unbindable' option",
  ],
  ['bind rbind', "'[r]bind' option"],
  ['copy nocopy', "'copy' or 'nocopy' option"],
  ['no-dereference', "'no-dereference' option"],
  ['upperdir', 'upperdir per overlay'],
  ['workdir', 'workdir per overlay'],
];
const choiceOf = new Map(
  CHOICES.flatMap(([names, choice]) => names.split(' ').map((name) => [name, choice] as const)),
);
/** Docker's words for other systems, which change nothing here. */
const WITHOUT_MEANING = ['cached', 'delegated'];

/** Those that a mount itself takes; the others say what to do before. */
export const MOUNT_OPTIONS: ReadonlySet<string> = new Set(
  (
    'ro rw nosuid suid nodev dev noexec exec bind rbind private rprivate shared rshared slave rslave unbindable ' +
    'runbindable'
  ).split(' '),
);

/**
 * The options of a `--volume` without those that mean nothing.
 * @throws BuildError `bad-mount` for one that is not known, and for two of which one excludes the other
 */
export function volumeOptions(options: readonly string[]): readonly string[] {
  const seen = new Set<string>();
  const known = options.filter((option) => !WITHOUT_MEANING.includes(option));
  for (const option of known) {
    if (option.startsWith('idmap') || option === 'nocreate') continue;
    const choice = choiceOf.get(option.replace(/^(upperdir|workdir)=.*/s, '$1'));
    if (choice === undefined)
      throw new BuildError('bad-mount', `invalid option type ${JSON.stringify(option)}`);
    if (seen.has(choice))
      throw new BuildError(
        'bad-mount',
        `invalid options ${JSON.stringify(options.join(', '))}, can only specify 1 ${choice}`,
      );
    seen.add(choice);
  }
  return known;
}
