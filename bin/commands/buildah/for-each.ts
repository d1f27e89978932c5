import type { CommandContext } from '../../cli/contract.ts';

/**
 * Does the same for every name. Failures do not stop the others: all but the last are told on stderr, the last ends
 * the command.
 */
export async function forEach(
  context: CommandContext,
  names: readonly string[],
  work: (name: string) => Promise<void>,
): Promise<void> {
  let last: unknown;
  for (const name of names) {
    context.signal.throwIfAborted();
    try {
      await work(name);
    } catch (error) {
      if (last !== undefined) context.note(last instanceof Error ? last.message : String(last));
      last = error;
    }
  }
  if (last !== undefined) throw last;
}
