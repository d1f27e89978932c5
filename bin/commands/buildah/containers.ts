import { readContainer } from '../../../build/container/state.ts';
import { goJsonText } from '../../../image/go-json.ts';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { usage } from './arguments.ts';
import { renderRows } from './rows.ts';
import { openSession, type Session } from './session.ts';

interface Row {
  readonly id: string;
  readonly ours: boolean;
  readonly imageId: string;
  readonly imageName: string;
  readonly name: string;
}

export const containers: CommandSpec = {
  name: 'containers',
  aliases: ['list', 'ls', 'ps'],
  summary: 'List working containers and their base images',
  usage: '[flags]',
  examples: ['buildah containers', 'buildah containers --format "{{.ContainerID}} {{.ContainerName}}"'],
  flags: [
    { name: 'all', short: 'a', kind: 'bool', usage: 'list containers of other tools too' },
    {
      name: 'filter',
      short: 'f',
      kind: 'string',
      usage: 'show those with `id=…`, name=… or ancestor=…, joined by commas',
    },
    { name: 'format', kind: 'string', usage: 'print each by this Go `TEMPLATE`' },
    { name: 'json', kind: 'bool', usage: 'print JSON' },
    { name: 'noheading', short: 'n', kind: 'bool', usage: 'leave the heading out' },
    { name: 'notruncate', kind: 'bool', usage: 'print whole ids and names' },
    { name: 'quiet', short: 'q', kind: 'bool', usage: 'print ids only' },
  ],
  run: runContainers,
};

async function runContainers(context: CommandContext): Promise<void> {
  const { flags, args } = context;
  if (args.length > 0) throw usage("'buildah containers' does not accept arguments");
  if (flags.changed('quiet') && flags.changed('format'))
    throw usage('quiet and format are mutually exclusive');
  const filter = flags.changed('filter') ? parseFilter(flags.string('filter')) : () => true;
  await using session = await openSession(context);
  const rows = (await listRows(session, flags.bool('all'))).filter(filter);
  const format = flags.string('format');
  if (flags.bool('json')) context.print(goJsonText(rows.length ? rows.map(jsonRow) : null, '    '));
  else if (format !== '') context.write(renderRows(rows.map(templateRow), format, HEADINGS));
  else if (flags.bool('quiet')) for (const row of rows) context.print(row.id.padEnd(64));
  else printTable(context, rows);
}

const HEADINGS = {
  ContainerID: 'CONTAINER ID',
  Builder: 'BUILDER',
  ImageID: 'IMAGE ID',
  ImageName: 'IMAGE NAME',
  ContainerName: 'CONTAINER NAME',
};

function printTable({ flags, print }: CommandContext, rows: readonly Row[]): void {
  const whole = flags.bool('notruncate');
  const line = (id: string, builder: string, imageId: string, imageName: string, name: string) =>
    whole
      ? `${id.padEnd(64)} ${builder.padEnd(8)} ${imageId.padEnd(64)} ${imageName.padEnd(32)} ${name}`
      : `${id.slice(0, 12).padEnd(12)}  ${builder.padEnd(8)} ${imageId.slice(0, 12).padEnd(12)} ${shorten(imageName, 32).padEnd(32)} ${name}`;
  if (!flags.bool('noheading'))
    print(line('CONTAINER ID', 'BUILDER', 'IMAGE ID', 'IMAGE NAME', 'CONTAINER NAME'));
  for (const row of rows) print(line(row.id, row.ours ? '   *' : '', row.imageId, row.imageName, row.name));
}

/** The end of a long text counts most. */
function shorten(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 3)}...` : text;
}

async function listRows({ store }: Session, all: boolean): Promise<Row[]> {
  const imageNames = new Map((await store.images.list()).map((image) => [image.id, image.names[0] ?? '']));
  const rows: Row[] = [];
  for (const record of await store.containers.list()) {
    const container = await readContainer(store, record);
    if (!container && !all) continue;
    const imageId = container && !all ? container.fromImageId : record.imageId;
    rows.push({
      id: record.id,
      ours: container !== undefined,
      imageId,
      imageName: imageId === '' ? 'scratch' : (imageNames.get(imageId) ?? ''),
      name: record.names[0] ?? '',
    });
  }
  return rows;
}

function jsonRow({ id, ours, imageId, imageName, name }: Row) {
  return { id, builder: ours, imageid: imageId, imagename: imageName, containername: name };
}

function templateRow({ id, ours, imageId, imageName, name }: Row) {
  return {
    ContainerID: id,
    Builder: ours ? '   *' : '',
    ImageID: imageId,
    ImageName: imageName,
    ContainerName: name,
  };
}

function parseFilter(text: string): (row: Row) => boolean {
  const tests = text.split(',').map((part): ((row: Row) => boolean) => {
    const equals = part.indexOf('=');
    if (equals < 0)
      throw usage(`parsing filter: incorrect filter value "${part}", should be of form filter=value`);
    const value = part.slice(equals + 1);
    switch (part.slice(0, equals).trim()) {
      case 'id':
        return (row) => row.id.startsWith(value);
      case 'name':
        return (row) => row.name.includes(value);
      case 'ancestor':
        return (row) => row.imageId.startsWith(value) || matchesReference(row.imageName, value);
      default:
        throw usage(`parsing filter: invalid filter "${part.slice(0, equals)}"`);
    }
  });
  return (row) => tests.every((test) => test(row));
}

function matchesReference(name: string, wanted: string): boolean {
  const [repository = '', tag] = name.split(':');
  const [wantedRepository = '', wantedTag] = wanted.split(':');
  return repository.endsWith(wantedRepository) && (wantedTag === undefined || tag === wantedTag);
}
