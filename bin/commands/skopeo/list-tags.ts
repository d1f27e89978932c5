import { parseReference, repositoryOf } from '../../../image/reference.ts';
import type { CommandSpec } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';
import { registryFlags } from '../../cli/registry-access.ts';
import { transportContext } from '../../cli/transport-context.ts';
import { commandSignal, parseName, prefixed, RETRY_FLAGS, retryOptions } from './surroundings.ts';

const SUPPORTED = ['docker', 'docker-archive', 'oci', 'oci-archive'];

/** `skopeo list-tags`. */
export const listTagsCommand: CommandSpec = {
  name: 'list-tags',
  summary: 'List the tags of a repository or an archive',
  description: `Lists the tags of a repository, or the names in an archive or layout.\n\nSupported transports:\n${SUPPORTED.join(' ')}`,
  usage: '[command options] SOURCE-IMAGE',
  examples: [
    'skopeo list-tags docker://registry.example.com/app',
    'skopeo list-tags docker-archive:images.tar',
  ],
  args: { min: 1, max: 1, message: 'Exactly one non-option argument expected' },
  flags: [...registryFlags(), ...RETRY_FLAGS],
  async run(context) {
    const name = context.args[0] as string;
    const repository = checkName(name);
    const signal = commandSignal(context);
    const reference = await parseName(context, name, 'Invalid source name');
    const surroundings = transportContext(context, { signal });
    const { listTags } = await import('../../../transport/tags.ts');
    const { withRetries } = await import('../../../transport/retry.ts');
    const tags = await withRetries(
      'list-tags',
      () => listTags(reference, surroundings),
      retryOptions(context, signal),
    ).catch(reference.transport === 'docker' ? prefixed('Error listing repository tags') : rethrow);
    const { goJsonText } = await import('../../../image/go-json.ts');
    const output = { ...(repository === undefined ? {} : { Repository: repository }), Tags: tags };
    context.print(goJsonText(output, '    '));
  },
};

/** The repository of a registry name; tags and digests are refused, since they would be ignored. */
function checkName(name: string): string | undefined {
  const colon = name.indexOf(':');
  const transport = colon < 0 ? '' : name.slice(0, colon);
  if (transport === '')
    throw new UsageError('usage', `Invalid ${JSON.stringify(name)}: does not specify a transport`);
  if (!SUPPORTED.includes(transport))
    throw new UsageError(
      'usage',
      `Unsupported transport '${transport}' for tag listing. Only supported: ${SUPPORTED.join(', ')}`,
    );
  if (transport !== 'docker') return undefined;
  if (!name.startsWith('docker://'))
    throw new UsageError('usage', `docker: image reference ${name} does not start with docker://`);
  const reference = parseReference(name.slice('docker://'.length));
  if (reference.tag !== undefined || reference.digest !== undefined)
    throw new UsageError('usage', 'No tag or digest allowed in reference');
  return repositoryOf(reference);
}

function rethrow(error: unknown): never {
  throw error;
}
