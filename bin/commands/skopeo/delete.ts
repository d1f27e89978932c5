import type { CommandSpec } from '../../cli/contract.ts';
import { registryFlags } from '../../cli/registry-access.ts';
import { imageFlags, transportContext } from '../../cli/transport-context.ts';
import { commandSignal, parseName, RETRY_FLAGS, retryOptions } from './surroundings.ts';

/** `skopeo delete`. */
export const remove: CommandSpec = {
  name: 'delete',
  summary: 'Delete an image',
  description:
    'Deletes an image where its transport allows it. A registry deletes the manifest that the tag names, and with it every other tag of that manifest.',
  usage: '[command options] IMAGE-NAME',
  examples: ['skopeo delete docker://registry.example.com/example/pause:latest'],
  args: { min: 1, max: 1, message: 'Usage: delete imageReference' },
  flags: [...registryFlags(), ...imageFlags(), ...RETRY_FLAGS],
  async run(context) {
    const signal = commandSignal(context);
    const reference = await parseName(context, context.args[0] as string, 'Invalid source name');
    const surroundings = transportContext(context, { signal });
    const { deleteImage } = await import('../../../transport/delete.ts');
    const { withRetries } = await import('../../../transport/retry.ts');
    await withRetries('delete', () => deleteImage(reference, surroundings), retryOptions(context, signal));
  },
};
