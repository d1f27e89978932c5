import { readRegistries } from '../../../../config/registries.ts';
import { parseReference } from '../../../../image/reference.ts';
import type { FoundRepository } from '../../../../transport/docker/search.ts';
import type { CommandContext, CommandSpec } from '../../../cli/contract.ts';
import { UsageError } from '../../../cli/error.ts';
import { registryFlags } from '../../../cli/registry-access.ts';
import { transportContext } from '../../../cli/transport-context.ts';
import { isJson, printListing } from './rows.ts';

/** `slipway search`: podman search. */
export const search: CommandSpec = {
  name: 'search',
  summary: 'Search registries for repositories',
  description:
    'Searches one registry where the term starts with it, else the search registries of registries.conf.',
  usage: '[flags] TERM',
  examples: ['slipway search quay.io/podman', 'slipway search --list-tags localhost:5000/app'],
  args: { min: 1, max: 1 },
  flags: [
    ...registryFlags(),
    {
      name: 'filter',
      short: 'f',
      kind: 'slice',
      usage: 'show those with `stars=N`, is-official or is-automated',
    },
    { name: 'format', kind: 'string', usage: 'print each by this Go `TEMPLATE`, or json' },
    { name: 'limit', kind: 'int', default: 25, usage: 'at most so many of each registry' },
    { name: 'list-tags', kind: 'bool', usage: 'list the tags of the repository' },
    { name: 'compatible', kind: 'bool', usage: 'show stars and the official and automated marks' },
    { name: 'no-trunc', kind: 'bool', usage: 'print descriptions whole' },
  ],
  run: async (context) => {
    if (context.flags.bool('list-tags')) return await listTags(context);
    const { searchRegistry } = await import('../../../../transport/docker/search.ts');
    const [registries, term] = await registriesOf(context);
    const limit = context.flags.number('limit');
    const found: FoundRepository[] = [];
    for (const registry of registries)
      found.push(...(await searchRegistry(registry, term, limit, transportContext(context))));
    printFound(context, found.filter(filterOf(context)));
  },
};

async function registriesOf(context: CommandContext): Promise<[readonly string[], string]> {
  const text = (context.args[0] as string).replace(/^docker:\/\//, '');
  const slash = text.indexOf('/');
  const first = slash < 0 ? text : text.slice(0, slash);
  if (slash >= 0 && (/[.:]/.test(first) || first === 'localhost')) return [[first], text.slice(slash + 1)];
  const { searchRegistries } = await readRegistries({ environment: context.io.environment });
  if (searchRegistries.length === 0)
    throw new UsageError('usage', `no registry to search for ${JSON.stringify(text)}`, {
      hint: 'name one, as in quay.io/TERM, or set unqualified-search-registries in registries.conf',
    });
  return [searchRegistries, text];
}

async function listTags(context: CommandContext): Promise<void> {
  const { listRepositoryTags } = await import('../../../../transport/docker/tags.ts');
  const name = parseReference((context.args[0] as string).replace(/^docker:\/\//, ''));
  const tags = (await listRepositoryTags(name, transportContext(context))).slice(
    0,
    context.flags.changed('limit') ? context.flags.number('limit') : undefined,
  );
  const rows = tags.map((Tag) => ({ Name: `${name.domain}/${name.path}`, Tag }));
  const format = context.flags.string('format');
  const json = [{ Name: `${name.domain}/${name.path}`, Tags: tags }];
  printListing(context, { rows, json, format, columns: '{{.Name}}\t{{.Tag}}' });
}

function filterOf({ flags }: CommandContext): (found: FoundRepository) => boolean {
  const tests = flags.list('filter').map((text) => {
    const [key, value = 'true'] = text.split('=');
    if (key === 'stars' && /^\d+$/.test(value))
      return (found: FoundRepository) => found.stars >= Number(value);
    if (key === 'is-official') return (found: FoundRepository) => found.official === (value === 'true');
    if (key === 'is-automated') return (found: FoundRepository) => found.automated === (value === 'true');
    throw new UsageError('usage', `invalid filter type ${JSON.stringify(text)}`, {
      hint: 'there are stars=N, is-official and is-automated',
    });
  });
  return (found) => tests.every((test) => test(found));
}

function printFound(context: CommandContext, found: readonly FoundRepository[]): void {
  const { flags } = context;
  const shorten = (text: string) =>
    flags.bool('no-trunc') || text.length <= 44 ? text : `${text.slice(0, 41)}...`;
  const rows = found.map((one) => ({
    Index: one.index,
    Name: one.name,
    Description: shorten(one.description),
    Stars: one.stars,
    Official: one.official ? '[OK]' : '',
    Automated: one.automated ? '[OK]' : '',
    Tag: '',
  }));
  const format = flags.string('format');
  const columns = flags.bool('compatible')
    ? '{{.Name}}\t{{.Description}}\t{{.Stars}}\t{{.Official}}\t{{.Automated}}'
    : '{{.Name}}\t{{.Description}}';
  if (isJson(format) || rows.length || format) printListing(context, { rows, format, columns });
}
