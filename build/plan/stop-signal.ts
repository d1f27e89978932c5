import { constants } from 'node:os';
import { BuildError } from '../error.ts';

/** Names that this system's table lacks and Buildah's has. */
const MORE_NAMES = ['CLD', 'EMT', 'INFO', 'UNUSED'];

/** A signal by number, `SIGTERM`, `TERM` or `RTMIN+3`; any number but 0 counts. @throws BuildError `syntax` */
export function checkStopSignal(text: string): string {
  if (/^[+-]?\d+$/.test(text)) {
    if (Number(text) === 0 || Math.abs(Number(text)) >= 2 ** 63)
      throw new BuildError('syntax', `Invalid signal: ${text}`);
    return text;
  }
  const name = text.toUpperCase().replace(/^SIG/, '');
  const realtime = /^RTM(IN(\+([1-9]|1[0-5]))?|AX(-([1-9]|1[0-4]))?)$/.test(name);
  if (!realtime && !(`SIG${name}` in constants.signals) && !MORE_NAMES.includes(name))
    throw new BuildError('syntax', `Invalid signal: ${text}`, { hint: 'such as SIGTERM, or a number' });
  return text;
}
