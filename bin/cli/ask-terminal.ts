import type { CommandContext } from './contract.ts';
import { UsageError } from './error.ts';

/** Asks for a line, on a terminal where stdin is one; what is hidden is not shown while it is typed. */
export async function askTerminal(context: CommandContext, prompt: string, hidden: boolean): Promise<string> {
  const { stdin, stdout } = context.io;
  if (!stdin.isTTY) return answer(context, prompt, hidden);
  if (hidden) {
    const { askHidden } = await import('./ask-passphrase.ts');
    return askHidden(context.io, prompt);
  }
  const { createInterface } = await import('node:readline/promises');
  const lines = createInterface({ input: stdin, output: stdout });
  try {
    return await lines.question(prompt, { signal: context.signal });
  } finally {
    lines.close();
  }
}

/** One line of a stdin that is no terminal; a password is taken from terminals alone. */
async function answer(context: CommandContext, prompt: string, hidden: boolean): Promise<string> {
  context.write(prompt);
  const what = 'getting username and password: reading';
  const hint = { hint: 'give --username and --password-stdin' };
  if (hidden) throw new UsageError('usage', `${what} password: inappropriate ioctl for device`, hint);
  let line = '';
  for await (const chunk of context.io.stdin.setEncoding('utf8')) {
    line += String(chunk);
    if (line.includes('\n')) return line.slice(0, line.indexOf('\n'));
  }
  throw new UsageError('usage', `${what} username: EOF`, hint);
}
