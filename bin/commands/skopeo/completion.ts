import { completionScript } from '../../cli/completion.ts';
import type { CommandSpec } from '../../cli/contract.ts';

/** `skopeo completion`. */
export const completion: CommandSpec = {
  name: 'completion',
  summary: 'Print a completion script for a shell',
  usage: '[flags] bash|zsh|fish',
  examples: ['source <(skopeo completion bash)'],
  args: { min: 1, max: 1, message: 'the name of a shell must be specified: bash, zsh or fish' },
  hidden: true,
  run: async (context) => {
    const { skopeo } = await import('../../skopeo.ts');
    context.write(await completionScript(skopeo, context.args[0] as string));
  },
};
