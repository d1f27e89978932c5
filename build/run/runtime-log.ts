import { existsSync, readFileSync, writeSync } from 'node:fs';
import type { RunRequest } from './contract.ts';

/** The log of the runtime, which was asked to say more, as if it had gone to the command's stderr. */
export function tellLog(logFile: string, { stderr }: RunRequest): void {
  const text = entriesOf(logFile)
    .map(
      ({ time = '', level = '', msg = '' }) => `time="${time}" level=${level} msg=${JSON.stringify(msg)}\n`,
    )
    .join('');
  if (text === '') return;
  if (stderr === undefined || stderr === 'inherit') writeSync(2, text);
  else stderr.write(text);
}

/** The runtime's own complaint, from its log: what the command says goes to its own stderr. */
export function runtimeFailure(logFile: string): string | undefined {
  const failure = entriesOf(logFile)
    .reverse()
    .find(({ level }) => level === 'error' || level === 'fatal');
  return failure && (failure.msg ?? JSON.stringify(failure));
}

type Entry = Partial<Readonly<Record<string, string>>>;

function entriesOf(logFile: string): Entry[] {
  if (!existsSync(logFile)) return [];
  const lines = readFileSync(logFile, 'utf8').split('\n').filter(Boolean);
  return lines.flatMap((line) => {
    try {
      return [JSON.parse(line) as Entry];
    } catch {
      // Not every runtime keeps to the format that it is asked for.
      return [];
    }
  });
}
