import { completionScript } from '../../cli/completion.ts';
import type { CommandSpec } from '../../cli/contract.ts';
import { oneArgument } from './arguments.ts';

export const completion: CommandSpec = {
  name: 'completion',
  summary: 'Print a completion script for a shell',
  usage: '[flags] bash|zsh|fish',
  examples: ['source <(buildah completion bash)'],
  hidden: true,
  run: async (context) => {
    const shell = oneArgument(context.args, 'the name of a shell must be specified: bash, zsh or fish');
    const { buildah } = await import('../../buildah.ts');
    context.io.stdout.write(await completionScript(buildah, shell));
  },
};
