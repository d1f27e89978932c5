import { completionCommand } from '../../cli/completion.ts';
import { UsageError } from '../../cli/error.ts';

/** `skopeo completion`. */
export const completion = completionCommand(
  'skopeo',
  async () => (await import('../../skopeo.ts')).skopeo,
  ([shell, ...others], refusal) => {
    if (shell === undefined || others.length > 0) throw new UsageError('usage', refusal);
    return shell;
  },
);
