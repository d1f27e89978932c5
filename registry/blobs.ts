import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { Digest } from '../image/digest.ts';
import { isRepositoryPath } from '../image/reference.ts';
import { ProtocolError } from './error.ts';
import { answer, type Exchange, methodNotAllowed } from './exchange.ts';
import { digestOf } from './route.ts';
import { uploadRange } from './uploads.ts';

const READ_BYTES = 256 * 1024;

/** GET, HEAD and DELETE of `/v2/<name>/blobs/<digest>`. */
export async function handleBlob(exchange: Exchange, repository: string, digest: Digest): Promise<void> {
  const { request, state } = exchange;
  const size = await state.content.blobSize(repository, digest);
  if (size === undefined) throw new ProtocolError('BLOB_UNKNOWN', 'blob unknown to registry');
  if (request.method === 'DELETE') {
    await state.content.remove(state.content.linkPath(repository, '_blobs', digest));
    answer(exchange, 202);
  } else if (request.method === 'GET' || request.method === 'HEAD') {
    await sendBlob(exchange, digest, size);
  } else throw methodNotAllowed('GET, HEAD, DELETE');
}

async function sendBlob({ request, response, state }: Exchange, digest: Digest, size: number): Promise<void> {
  const range = parseRange(request.headers.range, size);
  const headers = {
    'content-type': 'application/octet-stream',
    'docker-content-digest': digest,
    'accept-ranges': 'bytes',
    etag: `"${digest}"`,
    'content-length': String(range ? range.end - range.start + 1 : size),
    ...(range ? { 'content-range': `bytes ${range.start}-${range.end}/${size}` } : {}),
  };
  response.writeHead(range ? 206 : 200, headers);
  if (request.method === 'HEAD' || size === 0) {
    response.end();
    return;
  }
  const { start, end } = range ?? { start: 0, end: size - 1 };
  const file = createReadStream(state.content.blobPath(digest), { start, end, highWaterMark: READ_BYTES });
  await pipeline(file, response);
}

/** RFC 9110, 14.2, one range; several ranges and other units are answered with the whole blob. */
function parseRange(header: string | undefined, size: number): { start: number; end: number } | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return undefined;
  const suffix = match[1] === '';
  const start = suffix ? Math.max(0, size - Number(match[2])) : Number(match[1]);
  const end = suffix || match[2] === '' ? size - 1 : Math.min(size - 1, Number(match[2]));
  if (start > end)
    throw new ProtocolError('SIZE_INVALID', 'the range lies outside the blob', {
      status: 416,
      headers: { 'content-range': `bytes */${size}` },
    });
  return { start, end };
}

/** POST of `/v2/<name>/blobs/uploads/`: a session, a mount, or the whole blob at once. */
export async function handleUploads(exchange: Exchange, repository: string): Promise<void> {
  const { request, query, state } = exchange;
  if (request.method !== 'POST') throw methodNotAllowed('POST');
  const mount = query.get('mount');
  if (mount !== null && (await mountBlob(exchange, repository, digestOf(mount), query.get('from')))) return;
  const digest = query.get('digest');
  const id = await state.uploads.start(repository);
  if (digest === null) {
    answer(exchange, 202, sessionHeaders(repository, id, 0));
    return;
  }
  await state.uploads.append(repository, id, request, undefined, bodyLength(exchange));
  await finish(exchange, repository, id, digestOf(digest));
}

async function mountBlob(
  exchange: Exchange,
  repository: string,
  digest: Digest,
  from: string | null,
): Promise<boolean> {
  if (from === null || !isRepositoryPath(from)) return false;
  const { content } = exchange.state;
  if ((await content.blobSize(from, digest)) === undefined) return false;
  await content.linkBlob(repository, digest);
  answer(exchange, 201, blobHeaders(repository, digest));
  return true;
}

/** GET, PATCH, PUT and DELETE of an upload session. */
export async function handleUpload(exchange: Exchange, repository: string, id: string): Promise<void> {
  const { request, query, state } = exchange;
  const { uploads } = state;
  const append = () => uploads.append(repository, id, request, chunkStart(exchange), bodyLength(exchange));
  switch (request.method) {
    case 'GET':
      return answer(exchange, 204, sessionHeaders(repository, id, await uploads.size(repository, id)));
    case 'PATCH':
      return answer(exchange, 202, sessionHeaders(repository, id, await append()));
    case 'PUT': {
      const digest = digestOf(query.get('digest') ?? '');
      await append();
      return finish(exchange, repository, id, digest);
    }
    case 'DELETE':
      await uploads.cancel(repository, id);
      return answer(exchange, 204);
    default:
      throw methodNotAllowed('GET, PATCH, PUT, DELETE');
  }
}

async function finish(exchange: Exchange, repository: string, id: string, digest: Digest): Promise<void> {
  await exchange.state.uploads.finish(repository, id, digest);
  answer(exchange, 201, blobHeaders(repository, digest));
}

function blobHeaders(repository: string, digest: Digest): Record<string, string> {
  return { location: `/v2/${repository}/blobs/${digest}`, 'docker-content-digest': digest };
}

function sessionHeaders(repository: string, id: string, bytes: number): Record<string, string> {
  return {
    location: `/v2/${repository}/blobs/uploads/${id}`,
    range: uploadRange(bytes),
    'docker-upload-uuid': id,
  };
}

/** The start of `Content-Range: <start>-<end>`; a range that its body cannot fill is refused. */
function chunkStart({ request }: Exchange): number | undefined {
  const header = request.headers['content-range'];
  if (header === undefined) return undefined;
  const match = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/(?:\d+|\*))?$/.exec(header);
  const [start, end] = [Number(match?.[1]), Number(match?.[2])];
  if (!match || end < start)
    throw new ProtocolError('BLOB_UPLOAD_INVALID', 'malformed Content-Range', { status: 416 });
  const length = request.headers['content-length'];
  if (length !== undefined && Number(length) !== 0 && Number(length) !== end - start + 1)
    throw new ProtocolError('SIZE_INVALID', 'Content-Range and Content-Length disagree', { status: 416 });
  return start;
}

function bodyLength({ request }: Exchange): number | undefined {
  const length = request.headers['content-length'];
  return length === undefined ? undefined : Number(length);
}
