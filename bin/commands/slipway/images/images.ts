import { ImageRelations } from '../../../../build/container/image-relations.ts';
import { parseReference, repositoryOf } from '../../../../image/reference.ts';
import type { ImageRecord } from '../../../../store/storage/contract.ts';
import type { CommandContext, CommandSpec } from '../../../cli/contract.ts';
import { formatByteSize } from '../../../cli/duration.ts';
import { UsageError } from '../../../cli/error.ts';
import { humanDuration } from '../../buildah/human-duration.ts';
import { ImageFacts } from '../../buildah/image-facts.ts';
import { filterImages } from '../../buildah/image-filters.ts';
import { openSession, type Session } from '../../buildah/session.ts';
import { isJson, printListing } from './rows.ts';

/** `slipway images`: podman images. */
export const images: CommandSpec = {
  name: 'images',
  summary: 'List the images in local storage',
  usage: '[flags] [IMAGE]',
  examples: ['slipway images', 'slipway images --sort size --format "table {{.ID}} {{.Repository}}"'],
  args: { max: 1 },
  flags: [
    { name: 'all', short: 'a', kind: 'bool', usage: 'show intermediate images too' },
    { name: 'digests', kind: 'bool', usage: 'show digests' },
    {
      name: 'filter',
      short: 'f',
      kind: 'slice',
      usage: 'show those that fit `KEY=VALUE`, such as dangling=true',
    },
    { name: 'format', kind: 'string', usage: 'print each by this Go `TEMPLATE`, or json' },
    { name: 'history', kind: 'bool', usage: 'show earlier names' },
    { name: 'no-trunc', kind: 'bool', usage: 'print whole ids' },
    { name: 'noheading', short: 'n', kind: 'bool', usage: 'leave the heading out' },
    { name: 'quiet', short: 'q', kind: 'bool', usage: 'print ids only' },
    {
      name: 'sort',
      kind: 'string',
      default: 'created',
      usage: 'sort by `FIELD`: created, id, repository, size or tag',
    },
  ],
  run: async (context) => {
    const { flags, args } = context;
    const order = orderOf(flags.string('sort'));
    await using session = await openSession(context);
    const found = await filterImages(session, [
      ...flags.list('filter'),
      ...(args[0] === undefined ? [] : [`reference=${args[0]}`]),
      ...(flags.bool('all') ? [] : ['intermediate=false']),
    ]);
    const format = flags.string('format');
    const shows = (field: string) => isJson(format) || format.includes(field);
    const rows = (await rowsOf(session, found, { whole: flags.bool('no-trunc'), shows })).sort(order);
    print(context, rows);
  },
};

type Row = Awaited<ReturnType<typeof rowsOf>>[number];

const ORDERS: Readonly<Record<string, (a: Row, b: Row) => number>> = {
  created: (a, b) => b.CreatedAt.getTime() - a.CreatedAt.getTime(),
  id: (a, b) => compare(a.ID, b.ID),
  repository: (a, b) => compare(a.Repository, b.Repository),
  size: (a, b) => a.VirtualSize - b.VirtualSize,
  tag: (a, b) => compare(a.Tag, b.Tag),
};

function orderOf(name: string): (a: Row, b: Row) => number {
  const order = Object.hasOwn(ORDERS, name) ? ORDERS[name] : undefined;
  if (order) return order;
  throw new UsageError(
    'usage',
    `"${name}" is not a valid field for sorting. Choose from: ${Object.keys(ORDERS).join(', ')}`,
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

interface RowOptions {
  /** Ids are not shortened. */
  readonly whole: boolean;
  /** Whether a field is shown: some need the configs of all images. */
  readonly shows: (field: string) => boolean;
}

/** One row for each name of each image. */
async function rowsOf(session: Session, found: readonly ImageRecord[], { whole, shows }: RowOptions) {
  const all = await session.store.images.list();
  const relations = new ImageRelations(session.store, all);
  const facts = new ImageFacts(session.store);
  const sizeOf = await facts.sizes();
  const containers = await session.store.containers.list();
  const now = Date.now();
  const rows = await Promise.all(
    found.map(async (record) => {
      // Podman counts in whole seconds.
      const created = new Date(Math.floor(facts.created(record).getTime() / 1000) * 1000);
      const size = sizeOf(record);
      const since = `${humanDuration(now - created.getTime())} ago`;
      const config = shows('Labels') ? await relations.config(record) : undefined;
      const common = {
        record,
        ID: whole ? `sha256:${record.id}` : record.id.slice(0, 12),
        Id: record.id,
        ParentId: (shows('Parent') ? await relations.parent(record) : undefined)?.id ?? '',
        RepoTags: record.names,
        RepoDigests: repositoryDigests(record),
        Size: formatByteSize(size),
        SharedSize: 0,
        VirtualSize: size,
        Labels: new Map(Object.entries(config?.config?.Labels ?? {})),
        Containers: containers.filter(({ imageId }) => imageId === record.id).length,
        ReadOnly: record.readOnly,
        Dangling: shows('Dangling') && (await relations.isDangling(record)),
        Names: record.names,
        Digest: record.digest ?? '',
        History: record.namesHistory.join(', '),
        Created: since,
        CreatedSince: since,
        CreatedAt: created,
        CreatedTime: created,
      };
      return namesOf(record).map((name) => ({ ...name, ...common }));
    }),
  );
  return rows.flat();
}

function namesOf({ names }: ImageRecord): { readonly Repository: string; readonly Tag: string }[] {
  const pairs = names.map((name) => {
    const reference = parseReference(name);
    return { Repository: repositoryOf(reference), Tag: reference.tag ?? '<none>' };
  });
  const tagged = pairs.filter(({ Tag }) => Tag !== '<none>');
  if (tagged.length > 0) return tagged;
  return pairs.length > 0 ? pairs.slice(0, 1) : [{ Repository: '<none>', Tag: '<none>' }];
}

function repositoryDigests({ names, digest }: ImageRecord): string[] {
  if (digest === undefined) return [];
  return [...new Set(names.map((name) => `${repositoryOf(parseReference(name))}@${digest}`))].sort();
}

function print(context: CommandContext, rows: readonly Row[]): void {
  const { flags } = context;
  const format = flags.string('format');
  if (flags.bool('quiet') && !isJson(format)) {
    for (const id of new Set(rows.map(({ ID }) => ID))) context.print(id);
    return;
  }
  const columns = [
    '{{.Repository}}',
    '{{.Tag}}',
    ...(flags.bool('digests') ? ['{{.Digest}}'] : []),
    '{{.ID}}',
    '{{.Created}}',
    '{{.Size}}',
    ...(flags.bool('history') ? ['{{if .History}}{{.History}}{{else}}<none>{{end}}'] : []),
    ...(rows.some(({ ReadOnly }) => ReadOnly) ? ['{{.ReadOnly}}'] : []),
  ];
  printListing(context, {
    rows: rows.map(({ record: _record, ...row }) => row),
    json: rows.map(jsonRow),
    format,
    columns: columns.join('\t'),
    headings: { ID: 'IMAGE ID', ReadOnly: 'R/O' },
    heading: !flags.bool('noheading'),
  });
}

/** Podman's keys in its order; what is empty is left out where Podman does so. */
function jsonRow(row: Row): object {
  const { record } = row;
  return {
    Id: record.id,
    ParentId: row.ParentId,
    RepoTags: null,
    RepoDigests: row.RepoDigests,
    Size: row.VirtualSize,
    SharedSize: 0,
    VirtualSize: row.VirtualSize,
    Labels: row.Labels.size > 0 ? row.Labels : null,
    Containers: row.Containers,
    ...(row.ReadOnly && { ReadOnly: true }),
    ...(row.Dangling && { Dangling: true }),
    ...(record.names.length > 0 && { Names: record.names }),
    ...(row.Digest && { Digest: row.Digest }),
    ...(record.namesHistory.length > 0 && { History: record.namesHistory }),
    Created: Math.floor(row.CreatedAt.getTime() / 1000),
    CreatedAt: row.CreatedAt.toISOString().replace('.000Z', 'Z'),
  };
}
