import type { IncomingMessage } from 'node:http';
import { ImageError } from '../../image/error.ts';
import { isJsonObject, parseJsonObject } from '../../image/json.ts';
import { formatReference } from '../../image/reference.ts';
import { TarWriter } from '../archive/tar-writer.ts';
import type { ImageDestination, TransportContext } from '../contract.ts';
import { openSavedImageDestination } from '../docker-archive/destination.ts';
import { SavedImages } from '../docker-archive/saved-images.ts';
import { TransportError } from '../error.ts';
import { callEngine, type EngineCall, requireSuccess } from './engine.ts';
import type { DaemonReference } from './reference.ts';

/**
 * Streams an archive to the engine, which takes the image when the archive ends: a copy that fails leaves nothing.
 * @throws TransportError `bad-reference` for an image id or a digest
 */
export async function openDaemonDestination(
  reference: DaemonReference,
  context: TransportContext,
): Promise<ImageDestination> {
  const { named } = reference;
  if (named?.tag === undefined)
    throw new TransportError(
      'bad-reference',
      `Invalid destination docker-daemon:${reference.within}: a destination must be a name:tag`,
    );
  const call = await callEngine(
    context.daemon ?? {},
    { method: 'POST', path: '/images/load?quiet=1', type: 'application/x-tar' },
    context.signal,
  );
  const { request, response } = call;
  request.on('error', () => {});
  await connected(call);
  const images = new SavedImages(new TarWriter(request, context.signal));
  let done = false;
  return openSavedImageDestination(
    reference,
    images,
    [named, ...(context.additionalTags ?? [])],
    context,
    {
      async commit() {
        await Promise.all([
          images.end().catch((error: unknown) => failed(response, error)),
          answered(response),
        ]);
        done = true;
      },
      async close() {
        if (!done) request.destroy();
      },
    },
    { layerCompression: 'preserve' },
  );

  async function answered(answer: Promise<IncomingMessage>): Promise<void> {
    const message = await answer;
    await requireSuccess(
      message,
      `loading ${formatReference(named as typeof named & object)} into docker engine`,
    );
    await checkProgress(message);
  }
}

/** Waits until the engine took the connection, so that one that is not there says so before layers are read. */
async function connected({ request, response }: EngineCall): Promise<void> {
  const opened = new Promise<void>((resolve) => {
    request.once('socket', (socket) => {
      if (socket.connecting) socket.once('connect', resolve);
      else resolve();
    });
  });
  await Promise.race([opened, response]);
}

/** When the engine closed the connection, its answer says more than the broken pipe. */
async function failed(response: Promise<IncomingMessage>, error: unknown): Promise<void> {
  await response;
  if (error instanceof TransportError) throw error;
}

const LINE_LIMIT = 1024 * 1024;

/** The engine reports progress as JSON objects, and failures among them. */
async function checkProgress(response: IncomingMessage): Promise<void> {
  let rest = '';
  response.setEncoding('utf8');
  for await (const chunk of response as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n');
    rest = (lines.pop() ?? '').slice(0, LINE_LIMIT);
    for (const line of lines) checkLine(line);
  }
  checkLine(rest);
}

function checkLine(line: string): void {
  if (line.trim() === '') return;
  try {
    const { errorDetail } = parseJsonObject(line, { what: 'docker load progress' });
    if (!isJsonObject(errorDetail)) return;
    throw new TransportError(
      'registry',
      `docker engine reported: ${JSON.stringify(errorDetail.message ?? '')}`,
    );
  } catch (cause) {
    if (!(cause instanceof ImageError)) throw cause;
    throw new TransportError('registry', `parsing docker load progress: ${cause.message}`, { cause });
  }
}
