import type { ClientRequest } from 'node:http';
import type { Readable } from 'node:stream';
import { dispose } from '../../store/kernel/passing-bytes.ts';

/**
 * Pipes a body into a request and ends it, and disposes of each chunk once it is on the network.
 * @returns what stops it, as `unpipe` does
 */
export function sendBody(body: Readable, request: ClientRequest): () => void {
  const send = (chunk: Buffer) => {
    const hasRoom = request.write(chunk, (error) => {
      if (!error) dispose(chunk);
    });
    if (!hasRoom) body.pause();
  };
  const goOn = () => body.resume();
  const finish = () => request.end();
  body.on('data', send).once('end', finish);
  request.on('drain', goOn);
  return () => {
    body.off('data', send).off('end', finish).pause();
    request.off('drain', goOn);
  };
}
