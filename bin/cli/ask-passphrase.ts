import type { CommandIo } from './contract.ts';
import { UsageError } from './error.ts';

interface RawTerminal {
  setRawMode?(raw: boolean): unknown;
}

/**
 * Asks for a passphrase without showing it.
 * @throws UsageError `usage` where stdin is no terminal
 */
export async function askPassphrase(io: CommandIo, keyFile: string): Promise<string> {
  if (!io.stdin.isTTY)
    throw new UsageError(
      'usage',
      `Cannot prompt for a passphrase for key ${keyFile}, standard input is not a TTY`,
    );
  return askHidden(io, `Passphrase for key ${keyFile}: `);
}

/** Reads one line from the terminal without showing it. */
export async function askHidden({ stdin, stdout }: CommandIo, prompt: string): Promise<string> {
  const terminal = stdin as RawTerminal;
  stdout.write(prompt);
  terminal.setRawMode?.(true);
  try {
    return await readHiddenLine(stdin);
  } finally {
    terminal.setRawMode?.(false);
    stdin.pause();
    stdout.write('\n');
  }
}

const ENTER = ['\r', '\n'];
const BACKSPACE = ['\u007f', '\b'];
const INTERRUPT = ['\u0003', '\u0004'];

function readHiddenLine(stdin: NodeJS.ReadableStream): Promise<string> {
  return new Promise((resolve, reject) => {
    let typed: string[] = [];
    const onData = (chunk: Buffer | string) => {
      for (const char of chunk.toString()) {
        if (ENTER.includes(char)) return finish(() => resolve(typed.join('')));
        if (INTERRUPT.includes(char))
          return finish(() => reject(new UsageError('usage', 'interrupted', { exitCode: 130 })));
        typed = BACKSPACE.includes(char) ? typed.slice(0, -1) : [...typed, char];
      }
    };
    const finish = (settle: () => void) => {
      stdin.removeListener('data', onData);
      settle();
    };
    stdin.on('data', onData);
    stdin.resume();
  });
}
