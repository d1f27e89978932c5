import { writeSync } from 'node:fs';
import { isSystemError } from '../../errors.ts';

const STDOUT = 1;
const CLOSED_PIPE = 141;

/**
 * The process's stdout, by system calls until somebody wants the stream. The process ends where nobody reads any more.
 * @param onFailure ends it where nothing can be written, as on a full disk
 */
export function standardOutput(onFailure: (error: Error) => never) {
  const fail = (error: Error): never => {
    if (isSystemError(error, 'EPIPE')) process.exit(CLOSED_PIPE);
    return onFailure(error);
  };
  let opened: NodeJS.WriteStream | undefined;
  const stream = () => {
    if (!opened) {
      opened = process.stdout;
      opened.on('error', fail);
    }
    return opened;
  };
  const write = (text: string) => {
    const rest = opened ? Buffer.from(text) : writeNow(Buffer.from(text), fail);
    if (rest.length > 0) stream().write(rest);
  };
  return { stream, write };
}

/** What is left where stdout takes no more at the moment: the stream waits for it. */
function writeNow(bytes: Buffer, fail: (error: Error) => never): Buffer {
  let at = 0;
  try {
    while (at < bytes.length) at += writeSync(STDOUT, bytes, at);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    if (error.code !== 'EAGAIN') fail(error);
  }
  return bytes.subarray(at);
}
