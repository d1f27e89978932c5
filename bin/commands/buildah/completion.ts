import { completionCommand } from '../../cli/completion.ts';
import { oneArgument } from './arguments.ts';

export const completion = completionCommand(
  'buildah',
  async () => (await import('../../buildah.ts')).buildah,
  oneArgument,
);
