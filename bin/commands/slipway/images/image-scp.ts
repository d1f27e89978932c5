import { spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { saveImages } from '../../../../build/images/save.ts';
import { SlipwayError } from '../../../../errors.ts';
import type { CommandContext, CommandSpec } from '../../../cli/contract.ts';
import { UsageError } from '../../../cli/error.ts';
import { temporaryDirectory } from '../../../cli/transport-context.ts';
import { openSession } from '../../buildah/session.ts';
import { findImageRecord } from './find.ts';

/** `slipway image-scp`: podman image scp, to another machine over ssh. */
export const imageScp: CommandSpec = {
  name: 'image-scp',
  summary: 'Copy a local image into the storage of another machine over ssh',
  usage: '[flags] IMAGE [USER@]HOST::',
  examples: ['slipway image-scp app build@mirror.example.com::'],
  args: { min: 2, max: 2 },
  flags: [
    {
      name: 'remote-command',
      kind: 'string',
      default: 'podman load',
      usage: 'run `COMMAND` there; it reads a docker archive from stdin',
    },
    { name: 'quiet', short: 'q', kind: 'bool', usage: 'print no progress' },
  ],
  run: async (context) => {
    const [image = '', target = ''] = context.args;
    const host = /^([A-Za-z0-9._@%:[\]-]+)::$/.exec(target)?.[1];
    if (!host || host.startsWith('-'))
      throw new UsageError('usage', `${JSON.stringify(target)} is not HOST::`, {
        hint: 'the target is a machine that ssh knows, followed by two colons',
      });
    await using session = await openSession(context, { quiet: context.flags.bool('quiet') });
    const record = await findImageRecord(session, image);
    const directory = await mkdtemp(join(temporaryDirectory(context.io), 'slipway-scp-'));
    try {
      const path = join(directory, 'image.tar');
      await saveImages(session.surroundings, [{ id: record.id, names: record.names }], {
        format: 'docker-archive',
        path,
      });
      await send(context, host, path);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  },
};

async function send(context: CommandContext, host: string, path: string): Promise<void> {
  const child = spawn('ssh', ['--', host, context.flags.string('remote-command')], {
    stdio: ['pipe', 'inherit', 'inherit'],
    signal: context.signal,
  });
  const ended = new Promise<number | null>((resolve, reject) =>
    child.on('error', reject).on('close', resolve),
  );
  const sent = pipeline(createReadStream(path), child.stdin).catch((error: unknown) => error);
  const status = await ended;
  if (status !== 0) throw new SlipwayError('remote', `loading the image on ${host} ended with ${status}`);
  const failure = await sent;
  if (failure) throw failure;
}
