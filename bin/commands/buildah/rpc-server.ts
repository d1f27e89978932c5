import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { BuildError } from '../../../build/error.ts';

/** Requests above this are refused (gRPC's own default). */
const LIMIT_BYTES = 4 * 1024 * 1024;
/** Codes of the gRPC core library, doc/statuscodes.md. */
const STATUS = { ok: '0', invalid: '3', tooLarge: '8', unimplemented: '12' } as const;
const FRAME_HEADER_BYTES = 5;

/**
 * A gRPC server (HTTP/2 in clear text on a unix socket) with the one service of Buildah 1.44, `io.buildah.v1.Noop`,
 * whose answer is what it was sent: request and response both have one text field of number 1.
 * @throws BuildError `bad-option` where the socket cannot be made
 */
export async function serveRpc(path: string): Promise<AsyncDisposable> {
  const server = createServer();
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
    session.on('error', () => session.destroy());
  });
  server.on('stream', (stream, headers) => answer(stream, String(headers[':path'])));
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', (cause) =>
    reject(new BuildError('bad-option', `listen unix ${path}: ${cause.message}`, { cause })),
  );
  server.listen(path, resolve);
  await promise;
  return {
    async [Symbol.asyncDispose]() {
      for (const session of sessions) session.close();
      await new Promise<void>((done) => server.close(() => done()));
    },
  };
}

function answer(stream: ServerHttp2Stream, path: string): void {
  const parts: Buffer[] = [];
  let size = 0;
  stream.on('error', () => stream.destroy());
  if (path !== '/io.buildah.v1.Noop/Noop') {
    finish(stream, STATUS.unimplemented, `unknown method ${path}`);
    return;
  }
  stream.on('data', (part: Buffer) => {
    size += part.length;
    if (size <= LIMIT_BYTES) parts.push(part);
  });
  stream.on('end', () => {
    const frame = Buffer.concat(parts);
    if (size > LIMIT_BYTES)
      return finish(stream, STATUS.tooLarge, `message larger than max (${size} vs. ${LIMIT_BYTES})`);
    if (frame.length < FRAME_HEADER_BYTES || frame.readUInt32BE(1) !== frame.length - FRAME_HEADER_BYTES)
      return finish(stream, STATUS.invalid, 'the request is not one message');
    if (frame[0] !== 0) return finish(stream, STATUS.unimplemented, 'compressed messages are not supported');
    finish(stream, STATUS.ok, '', frame);
  });
}

function finish(stream: ServerHttp2Stream, status: string, message: string, frame?: Buffer): void {
  const trailers = {
    'grpc-status': status,
    ...(message ? { 'grpc-message': encodeURIComponent(message) } : {}),
  };
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  stream.end(frame);
}
