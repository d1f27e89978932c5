import { printable } from '../../../../image/printable.ts';
import type { CommandContext, CommandSpec } from '../../../cli/contract.ts';
import { registryFlags } from '../../../cli/registry-access.ts';
import { transportContext } from '../../../cli/transport-context.ts';
import { FORMAT, printResult, readRepository, withoutTransport } from './shared.ts';

export const repo: CommandSpec = {
  name: 'repo',
  summary: 'List the repositories of a registry, and their tags',
  usage: '',
  commands: [
    { name: 'ls', aliases: ['list'], summary: 'List the repositories of a registry', load: async () => list },
    { name: 'tags', summary: 'List the tags of a repository', load: async () => tags },
  ],
};

const LAST = {
  name: 'last',
  kind: 'string',
  usage: 'begin behind `NAME` in the order of the registry',
} as const;

const list: CommandSpec = {
  name: 'ls',
  summary: 'List the repositories of a registry',
  description: 'Lists what the catalog of a registry tells, below a name space where one is given.',
  usage: '[flags] HOST[/NAMESPACE]',
  args: { min: 1, max: 1 },
  flags: [...registryFlags(), LAST, FORMAT],
  run: async (context) => {
    const { listCatalog } = await import('../../../../transport/docker/tags.ts');
    const [host = '', ...space] = withoutTransport(context.args[0] as string)
      .replace(/\/$/, '')
      .split('/');
    const prefix = space.length ? `${space.join('/')}/` : '';
    const all = await listCatalog(host, transportContext(context));
    const names = behind(context, all).filter((name) => name.startsWith(prefix));
    const repositories = names.map((name) => name.slice(prefix.length));
    await show(context, { registry: host, repositories }, repositories);
  },
};

const tags: CommandSpec = {
  name: 'tags',
  summary: 'List the tags of a repository',
  usage: '[flags] NAME',
  args: { min: 1, max: 1 },
  flags: [
    ...registryFlags(),
    LAST,
    {
      name: 'exclude-digest-tags',
      kind: 'bool',
      usage: 'leave out tags such as sha256-…, which belong to images',
    },
    FORMAT,
  ],
  run: async (context) => {
    const { listRepositoryTags } = await import('../../../../transport/docker/tags.ts');
    const { repository } = readRepository(context.args[0] as string);
    const all = behind(context, await listRepositoryTags(repository, transportContext(context)));
    const shown = context.flags.bool('exclude-digest-tags')
      ? all.filter((tag) => !/^sha(?:256|512)-[0-9a-f]{64}/.test(tag))
      : all;
    await show(context, { tags: shown }, shown);
  },
};

function behind({ flags }: CommandContext, names: readonly string[]): readonly string[] {
  const last = flags.string('last');
  const at = last === '' ? -1 : names.indexOf(last);
  return at < 0 ? names.filter((name) => name > last) : names.slice(at + 1);
}

async function show(context: CommandContext, value: object, names: readonly string[]): Promise<void> {
  if (names.length > 0 || context.flags.string('format') !== 'text')
    await printResult(context, value, names.map(printable).join('\n'));
}
