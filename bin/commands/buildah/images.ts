import { findLocalImage } from '../../../build/container/pull.ts';
import { BuildError } from '../../../build/error.ts';
import { goJsonText } from '../../../image/go-json.ts';
import { isTag, parseReference, repositoryOf } from '../../../image/reference.ts';
import type { ImageRecord } from '../../../store/storage/contract.ts';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { refuseLateFlags, usage } from './arguments.ts';
import { humanDuration } from './human-duration.ts';
import { ImageFacts } from './image-facts.ts';
import { filterImages } from './image-filters.ts';
import { renderRows } from './rows.ts';
import { openSession, type Session } from './session.ts';

export const images: CommandSpec = {
  name: 'images',
  summary: 'List the images in local storage',
  usage: '[flags] [IMAGE]',
  examples: ['buildah images', "buildah images --format '{{.ID}} {{.Name}}:{{.Tag}}'"],
  flags: [
    { name: 'all', short: 'a', kind: 'bool', usage: 'show intermediate images too' },
    { name: 'digests', kind: 'bool', usage: 'show digests' },
    {
      name: 'filter',
      short: 'f',
      kind: 'slice',
      usage: 'show those that fit `KEY=VALUE`, such as dangling=true',
    },
    { name: 'format', kind: 'string', usage: 'print each by this Go `TEMPLATE`' },
    { name: 'history', kind: 'bool', usage: 'show earlier names' },
    { name: 'json', kind: 'bool', usage: 'print JSON' },
    { name: 'no-trunc', kind: 'bool', usage: 'print whole ids' },
    { name: 'noheading', short: 'n', kind: 'bool', usage: 'leave the heading out' },
    { name: 'quiet', short: 'q', kind: 'bool', usage: 'print ids only' },
  ],
  interspersed: false,
  run: runImages,
};

async function runImages(context: CommandContext): Promise<void> {
  const { flags, args } = context;
  if (args.length > 0) {
    if (flags.bool('all'))
      throw usage('when using the --all switch, you may not pass any images names or IDs');
    refuseLateFlags(args);
    if (args.length > 1) throw usage("'buildah images' requires at most 1 argument");
  }
  if (flags.bool('quiet') && flags.string('format')) throw usage('quiet and format are mutually exclusive');
  await using session = await openSession(context);
  const filters = [...flags.list('filter'), ...(flags.bool('all') ? [] : ['intermediate=false'])];
  const facts = new ImageFacts(session.store);
  const fitting = await filterImages(session, filters);
  const shown = args[0] === undefined ? fitting : await named(session, fitting, args[0]);
  if (flags.bool('json')) await printJson(context, facts, shown);
  else await printRows(context, facts, shown);
}

async function named(
  session: Session,
  list: readonly ImageRecord[],
  name: string,
): Promise<readonly ImageRecord[]> {
  const found = await findLocalImage(session.surroundings, name, { forPlatform: false });
  if (!found) throw new BuildError('pull-failed', `${name}: image not known`);
  return list.filter((record) => record.id === found.record.id);
}

async function printJson(
  context: CommandContext,
  facts: ImageFacts,
  list: readonly ImageRecord[],
): Promise<void> {
  const sizeOf = await facts.sizes();
  const rows = list.map((record) => {
    const created = facts.created(record);
    return {
      id: shortId(record.id, context.flags.bool('no-trunc')),
      names: record.names.length ? record.names : null,
      digest: record.digest ?? '',
      createdat: `${humanDuration(Date.now() - created.getTime())} ago`,
      size: humanSize(sizeOf(record)),
      created: Math.floor(created.getTime() / 1000),
      createdatraw: facts.createdRaw(record),
      readonly: record.readOnly,
      history: null,
    };
  });
  context.print(goJsonText(rows, '    '));
}

const HEADINGS = {
  Name: 'REPOSITORY',
  Tag: 'TAG',
  ID: 'IMAGE ID',
  CreatedAt: 'CREATED',
  Size: 'SIZE',
  ReadOnly: 'R/O',
  History: 'HISTORY',
};

async function printRows(
  { flags, write }: CommandContext,
  facts: ImageFacts,
  list: readonly ImageRecord[],
): Promise<void> {
  const quiet = flags.bool('quiet');
  const sorted = facts.newestFirst(list);
  if (quiet) {
    write(sorted.map(({ id }) => `${shortId(id, flags.bool('no-trunc'))}\n`).join(''));
    return;
  }
  const sizeOf = await facts.sizes();
  const whole = flags.bool('no-trunc');
  const read = nameReader();
  const rows = sorted.flatMap((record) => rowsOf(record, facts, { sizeBytes: sizeOf(record), whole, read }));
  write(renderRows(rows, formatOfTable({ flags }), HEADINGS));
}

function formatOfTable({ flags }: Pick<CommandContext, 'flags'>): string {
  if (flags.string('format')) return flags.string('format').replaceAll('\\t', '\t');
  const columns = [
    '{{.Name}}',
    '{{.Tag}}',
    ...(flags.bool('digests') ? ['{{.Digest}}'] : []),
    '{{.ID}}',
    '{{.CreatedAt}}',
    '{{.Size}}',
    ...(flags.bool('history') ? ['{{.History}}'] : []),
  ];
  return `${flags.bool('noheading') ? '' : 'table '}${columns.join('\t')}`;
}

function rowsOf(
  record: ImageRecord,
  facts: ImageFacts,
  { sizeBytes, whole, read }: { sizeBytes: number; whole: boolean; read: (full: string) => NameTag },
) {
  const created = facts.created(record);
  const id = shortId(record.id, whole);
  const age = `${humanDuration(Date.now() - created.getTime())} ago`;
  const size = humanSize(sizeBytes);
  const names = record.names.length ? record.names.map(read) : [UNNAMED];
  return names.map(({ name, tag }) => ({
    Tag: tag,
    ID: id,
    Name: name,
    Digest: record.digest ?? '',
    Created: Math.floor(created.getTime() / 1000),
    CreatedAt: age,
    Size: size,
    get CreatedAtRaw() {
      return facts.createdRaw(record);
    },
    ReadOnly: record.readOnly,
    History: historyText(record.namesHistory, name, tag),
  }));
}

interface NameTag {
  readonly name: string;
  readonly tag: string;
}

const UNNAMED: NameTag = { name: '<none>', tag: '<none>' };

/** Reads names; a repository that many images share, once. */
function nameReader(): (full: string) => NameTag {
  const repositories = new Map<string, string>();
  return (full) => {
    const colon = full.lastIndexOf(':');
    const known = repositories.get(full.slice(0, colon));
    const tag = full.slice(colon + 1);
    if (known !== undefined && isTag(tag)) return { name: known, tag };
    try {
      const reference = parseReference(full);
      const name = repositoryOf(reference);
      if (reference.tag === tag) repositories.set(full.slice(0, colon), name);
      return { name, tag: reference.tag ?? '<none>' };
    } catch {
      return { name: full, tag: '<none>' };
    }
  };
}

function historyText(history: readonly string[], name: string, tag: string): string {
  if (history.length === 0) return '<none>';
  if (history[0] !== `${name}:${tag}`) return history.join(', ');
  return history.length === 1 ? '<none>' : history.slice(1).join(', ');
}

function shortId(id: string, whole: boolean): string {
  return whole ? `sha256:${id}` : id.slice(0, 12);
}

/** `1.23 MB` in powers of 1000, three digits, as Go's %.3g prints them. */
export function humanSize(bytes: number): string {
  let value = bytes;
  let step = 0;
  while (value >= 1000 && step < 4) {
    value /= 1000;
    step += 1;
  }
  return `${Number(value.toPrecision(3))} ${['B', 'KB', 'MB', 'GB', 'TB'][step]}`;
}
