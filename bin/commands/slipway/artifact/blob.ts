import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { SlipwayError } from '../../../../errors.ts';
import { tryParseDigest } from '../../../../image/digest.ts';
import type { CommandSpec } from '../../../cli/contract.ts';
import { UsageError } from '../../../cli/error.ts';
import { registryFlags } from '../../../cli/registry-access.ts';
import { transportContext } from '../../../cli/transport-context.ts';
import {
  DESCRIPTOR,
  FORCE,
  QUIET,
  readBlobName,
  readRepository,
  requireForce,
  withProgress,
} from './shared.ts';

export const blob: CommandSpec = {
  name: 'blob',
  summary: 'Fetch, push and delete blobs of a registry',
  usage: '',
  commands: [
    { name: 'fetch', summary: 'Write a blob to a file', load: async () => fetch },
    { name: 'push', summary: 'Store a file as a blob', load: async () => push },
    { name: 'delete', summary: 'Delete a blob', load: async () => remove },
  ],
};

const fetch: CommandSpec = {
  name: 'fetch',
  summary: 'Write a blob to a file',
  description:
    'The file appears when the blob is whole and checked. On stdout (-) bad bytes end with an error.',
  usage: '[flags] NAME@DIGEST',
  args: { min: 1, max: 1 },
  flags: [
    ...registryFlags(),
    DESCRIPTOR,
    { name: 'output', short: 'o', kind: 'string', usage: 'write to `FILE`; -: stdout' },
    QUIET,
  ],
  run: async (context) => {
    const library = await import('../../../../artifact/blob.ts');
    const { flags, io, signal } = context;
    const { repository, digest } = readBlobName(context.args[0] as string);
    const surroundings = transportContext(context, { journal: true });
    const output = flags.string('output');
    if (!output && !flags.bool('descriptor'))
      throw new UsageError('usage', 'say where the blob goes: --output FILE, or --descriptor for what it is');
    if (output)
      await withProgress(context, async ({ onProgress }) => {
        const { stream } = await library.fetchBlob(repository, digest, surroundings, { onProgress });
        if (output === '-') await pipeline(stream, io.stdout, { end: false, signal });
        else await toFile(stream, resolve(io.workingDirectory, output), signal);
      });
    if (flags.bool('descriptor'))
      context.print(JSON.stringify(await library.describeBlob(repository, digest, surroundings)));
  },
};

async function toFile(stream: NodeJS.ReadableStream, path: string, signal: AbortSignal): Promise<void> {
  const temporary = `${path}.${process.pid}.part`;
  try {
    await pipeline(stream, createWriteStream(temporary, { flags: 'wx' }), { signal });
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

const push: CommandSpec = {
  name: 'push',
  summary: 'Store a file as a blob',
  usage: '[flags] NAME[@DIGEST] FILE',
  args: { min: 2, max: 2 },
  flags: [
    ...registryFlags(),
    DESCRIPTOR,
    { name: 'media-type', kind: 'string', usage: 'for the descriptor that is printed' },
    QUIET,
  ],
  run: async (context) => {
    const { pushBlob } = await import('../../../../artifact/blob.ts');
    const { flags, io } = context;
    const [name, file] = context.args as [string, string];
    const [repository = '', wanted] = name.split('@');
    const digest = wanted === undefined ? undefined : tryParseDigest(wanted);
    if (wanted !== undefined && !digest) throw new UsageError('usage', `${wanted} is not a digest`);
    const mediaType = flags.string('media-type');
    const descriptor = await withProgress(context, ({ onProgress }) =>
      pushBlob(
        readRepository(repository).repository,
        resolve(io.workingDirectory, file),
        transportContext(context, { journal: true }),
        { onProgress, ...(digest ? { digest } : {}), ...(mediaType ? { mediaType } : {}) },
      ),
    );
    context.print(flags.bool('descriptor') ? JSON.stringify(descriptor) : descriptor.digest);
  },
};

const remove: CommandSpec = {
  name: 'delete',
  summary: 'Delete a blob',
  usage: '[flags] NAME@DIGEST',
  args: { min: 1, max: 1 },
  flags: [...registryFlags(), FORCE],
  run: async (context) => {
    const { deleteBlob } = await import('../../../../artifact/blob.ts');
    const name = context.args[0] as string;
    const { repository, digest } = readBlobName(name);
    requireForce(context, name);
    try {
      await deleteBlob(repository, digest, transportContext(context));
      context.note(`Deleted ${name}`);
    } catch (error) {
      if (!(error instanceof SlipwayError) || error.code !== 'not-found') throw error;
      context.note(`${name} is not there`);
    }
  },
};
