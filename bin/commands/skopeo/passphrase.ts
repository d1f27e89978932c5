import type { CommandContext } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';

/** Asks on the terminal for the passphrase of a key, without showing it. @throws UsageError where there is no terminal */
export async function askPassphrase(context: CommandContext, keyFile: string): Promise<string> {
  const { io, signal } = context;
  const input = io.stdin as NodeJS.ReadStream;
  if (!input.isTTY)
    throw new UsageError(
      'usage',
      `Cannot prompt for a passphrase for key ${keyFile}, standard input is not a TTY`,
    );
  io.stdout.write(`Passphrase for key ${keyFile}: `);
  input.setRawMode(true);
  try {
    return await readLine(input, signal);
  } finally {
    input.setRawMode(false);
    input.pause();
    io.stdout.write('\n');
  }
}

async function readLine(input: NodeJS.ReadStream, signal: AbortSignal): Promise<string> {
  let text = '';
  for await (const chunk of input as AsyncIterable<Buffer>) {
    signal.throwIfAborted();
    for (const char of chunk.toString('utf8')) {
      if (char === '\r' || char === '\n') return text;
      if (char === '\u0003' || char === '\u0004')
        throw new UsageError('usage', 'Error reading password: interrupted');
      text = char === '\u007f' ? text.slice(0, -1) : text + char;
    }
  }
  return text;
}
