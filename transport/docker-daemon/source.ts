import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { detectAndDecompress } from '../../store/blob/compression.ts';
import { ArchiveMembers } from '../archive/members.ts';
import type { ImageSource, TransportContext } from '../contract.ts';
import { openSavedImage } from '../docker-archive/source.ts';
import { callEngine, requireSuccess } from './engine.ts';
import type { DaemonReference } from './reference.ts';

/**
 * Asks the engine to save the image, which it gives as an archive with its index at the end: kept in the temporary
 * directory until the source is closed.
 * @throws TransportError `network`, `not-found`, `bad-archive`
 */
export async function openDaemonSource(
  reference: DaemonReference,
  context: TransportContext,
): Promise<ImageSource> {
  const copy = join(context.temporaryDirectory, `slipway-daemon-${randomBytes(8).toString('hex')}`);
  try {
    await save(reference, context, copy);
    const members = await ArchiveMembers.open(copy);
    const archive = {
      members,
      async [Symbol.asyncDispose]() {
        await members[Symbol.asyncDispose]();
        await rm(copy, { force: true });
      },
    };
    return await openSavedImage(reference, archive, {});
  } catch (error) {
    await rm(copy, { force: true });
    throw error;
  }
}

async function save(reference: DaemonReference, context: TransportContext, path: string): Promise<void> {
  const query = `names=${encodeURIComponent(reference.within)}`;
  const { request, response } = await callEngine(
    context.daemon ?? {},
    { method: 'GET', path: `/images/get?${query}` },
    context.signal,
  );
  request.end();
  const answer = await response;
  await requireSuccess(answer, 'loading image from docker engine');
  const file = createWriteStream(path, { flags: 'wx', mode: 0o600, highWaterMark: 1 << 20 });
  const { stream } = await detectAndDecompress(answer);
  await pipeline(stream, file, { signal: context.signal });
}
