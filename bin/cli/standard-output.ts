import { writeSync } from 'node:fs';
import { isSystemError } from '../../errors.ts';

const STDOUT = 1;
const CLOSED_PIPE = 141;

/** The process's stdout, by system calls until somebody wants the stream. The process ends where nobody reads any more. */
export function standardOutput() {
  let opened: NodeJS.WriteStream | undefined;
  const stream = () => {
    if (!opened) {
      opened = process.stdout;
      opened.on('error', endOfReader);
    }
    return opened;
  };
  const write = (text: string) => {
    const rest = opened ? Buffer.from(text) : writeNow(Buffer.from(text));
    if (rest.length > 0) stream().write(rest);
  };
  return { stream, write };
}

/** What is left where stdout takes no more at the moment: the stream waits for it. */
function writeNow(bytes: Buffer): Buffer {
  let at = 0;
  try {
    while (at < bytes.length) at += writeSync(STDOUT, bytes, at);
  } catch (error) {
    if (!isSystemError(error, 'EAGAIN')) endOfReader(error);
  }
  return bytes.subarray(at);
}

function endOfReader(error: unknown): void {
  if (isSystemError(error, 'EPIPE')) process.exit(CLOSED_PIPE);
  throw error;
}
