import type { CommandContext } from './contract.ts';

/** A logrus line as the originals print it: coloured form on a terminal, key=value otherwise. */
export function logrusLine(
  level: 'fatal' | 'error' | 'warning' | 'info' | 'debug',
  message: string,
  options: { readonly terminal: boolean; readonly now: Date },
): string {
  if (options.terminal) return `${level.slice(0, 4).toUpperCase()}[${'0000'}] ${message.padEnd(44)} \n`;
  const time = options.now.toISOString().replace(/\.\d+Z$/, 'Z');
  return `time="${time}" level=${level} msg=${quoteGo(message)}\n`;
}

/** logrus quotes a message unless it is made of plain characters only. */
function quoteGo(text: string): string {
  return /^[A-Za-z0-9\-._/@^+]+$/.test(text) ? text : JSON.stringify(text);
}

/** Writes a line about what goes on: as logrus does for the drop-ins, `level: text` for slipway. */
export function logLine(
  { io, commandPath }: CommandContext,
  level: 'error' | 'warning' | 'info' | 'debug',
  text: string,
  fields: Readonly<Record<string, string>> = {},
): void {
  const line =
    commandPath[0] === 'slipway'
      ? `${level}: ${text}`
      : logrusLine(level, text, { terminal: io.stderr.isTTY === true, now: new Date() }).trimEnd();
  const extra = Object.entries(fields).map(([key, value]) => ` ${key}=${JSON.stringify(value)}`);
  io.stderr.write(`${line}${extra.join('')}\n`);
}
