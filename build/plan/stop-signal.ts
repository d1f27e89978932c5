import { constants } from 'node:os';
import { BuildError } from '../error.ts';

/** A signal by number, `SIGTERM`, `TERM` or `RTMIN+3`. @throws BuildError `syntax` */
export function checkStopSignal(text: string): string {
  if (/^\d+$/.test(text)) {
    if (Number(text) === 0) throw new BuildError('syntax', `Invalid signal: ${text}`);
    return text;
  }
  const name = text.toUpperCase().replace(/^SIG/, '');
  const realtime = /^RTM(IN(\+([1-9]|1[0-5]))?|AX(-([1-9]|1[0-4]))?)$/.test(name);
  if (!realtime && !(`SIG${name}` in constants.signals) && name !== 'CLD')
    throw new BuildError('syntax', `Invalid signal: ${text}`, { hint: 'such as SIGTERM, or a number' });
  return text;
}
