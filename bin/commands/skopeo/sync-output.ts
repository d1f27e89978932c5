import type { OnProgress, TransferEvent } from '../../../transport/contract.ts';
import type { CommandIo } from '../../cli/contract.ts';
import { type ProgressMode, plainLine } from '../../cli/progress.ts';

/** The progress of several images at once: the lines of one stand together, written when it is done. */
export interface ImageOutput {
  open(key: object): OnProgress | undefined;
  close(key: object): void;
}

/** Bars would be too many: they count as plain lines. NDJSON events are written as they come. */
export function openBuffer(io: CommandIo, mode: ProgressMode): ImageOutput {
  const lines = new Map<object, string[]>();
  if (mode === 'none') return { open: () => undefined, close: () => {} };
  if (mode === 'json')
    return {
      open: () => (event: TransferEvent) => void io.stdout.write(`${JSON.stringify(event)}\n`),
      close: () => {},
    };
  return {
    open(key) {
      const own: string[] = [];
      lines.set(key, own);
      return (event) => {
        const line = plainLine(event);
        if (line !== undefined) own.push(line);
      };
    },
    close(key) {
      const own = lines.get(key) ?? [];
      lines.delete(key);
      if (own.length) io.stdout.write(`${own.join('\n')}\n`);
    },
  };
}
