import { annotateIndex, changeEntry, type ManifestList, saveList } from '../../../../build/list/list.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../../cli/contract.ts';
import { usage } from '../arguments.ts';
import { openSession, type Session } from '../session.ts';
import { describe } from './add.ts';
import { ENTRY_FLAGS, entryChanges } from './entry-flags.ts';
import { findInstance, findList } from './find-list.ts';

const FLAGS: readonly FlagSpec[] = [
  ...ENTRY_FLAGS,
  { name: 'index', kind: 'bool', usage: 'annotate the list itself' },
  { name: 'subject', kind: 'string', usage: 'image that the list is about' },
];

export const annotate: CommandSpec = {
  name: 'annotate',
  summary: 'Change what a manifest list says of an image, or of itself',
  usage: '[flags] LIST [IMAGE]',
  args: { min: 1, max: 2 },
  flags: FLAGS,
  run: runAnnotate,
};

async function runAnnotate(context: CommandContext): Promise<void> {
  const { flags, args, print } = context;
  const [listName = '', instance] = args;
  const whole = flags.bool('index') || flags.string('subject') !== '';
  if (listName === '') throw usage('invalid image name ""');
  if (instance === undefined && !whole)
    throw usage('expected an instance digest, image name, or artifact name');
  if (instance !== undefined && whole)
    throw usage(`did not expect image or artifact name "${instance}" when modifying the entire index`);
  if (instance === '') throw usage('invalid instance digest, image name, or artifact name ""');
  await using session = await openSession(context, { flags: FLAGS });
  const { list } = await findList(session, listName);
  if (instance === undefined) {
    print(await saveList(session.store, await annotatedIndex(context, session, list)));
    return;
  }
  const digest = await findInstance(session, list, instance);
  const id = await saveList(session.store, changeEntry(list, digest, entryChanges(flags)));
  print(`${id}: ${digest}`);
}

async function annotatedIndex(
  { flags }: CommandContext,
  session: Session,
  list: ManifestList,
): Promise<ManifestList> {
  for (const name of ['os', 'os-version', 'arch', 'variant'])
    if (flags.string(name)) throw usage(`--index is not compatible with --${name}`);
  for (const name of ['os-features', 'features'])
    if (flags.list(name).length) throw usage(`--index is not compatible with --${name}`);
  const subject = flags.string('subject');
  return annotateIndex(
    list,
    entryChanges(flags).annotations ?? {},
    subject ? await describe(session, subject) : undefined,
  );
}
