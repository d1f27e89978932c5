import { spawn } from 'node:child_process';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { loadImages, saveImages } from '../../../../build/images/save.ts';
import { SlipwayError } from '../../../../errors.ts';
import type { CommandContext, CommandSpec } from '../../../cli/contract.ts';
import { UsageError } from '../../../cli/error.ts';
import { temporaryDirectory } from '../../../cli/transport-context.ts';
import { openSession } from '../../buildah/session.ts';
import { findImageRecord } from './find.ts';

/** `slipway image-scp`: podman image scp, between machines over ssh. */
export const imageScp: CommandSpec = {
  name: 'image-scp',
  summary: 'Copy an image between local storage and other machines over ssh',
  description:
    'A HOST is what ssh knows, with two colons behind it; without one, local storage is meant. An image that comes from another machine must pass policy.json as one that is loaded.',
  usage: '[flags] [[USER@]HOST::]IMAGE [[USER@]HOST::]',
  examples: ['slipway image-scp app build@mirror.example.com::', 'slipway image-scp build.example.com::app'],
  args: { min: 1, max: 2 },
  flags: [
    {
      name: 'remote-command',
      kind: 'string',
      default: 'podman load',
      usage: 'run `COMMAND` where the image goes; it reads a docker archive from stdin',
    },
    {
      name: 'remote-save-command',
      kind: 'string',
      default: 'podman save --quiet',
      usage: 'run `COMMAND` with the image’s name where it comes from; it writes a docker archive to stdout',
    },
    { name: 'quiet', short: 'q', kind: 'bool', usage: 'print no progress' },
  ],
  run: async (context) => {
    const source = endOf(context.args[0] as string);
    const target = endOf(context.args[1] ?? 'localhost::');
    if (!source.image || target.image)
      throw new UsageError('usage', 'an image comes first, and a machine without an image behind it', {
        hint: 'as in: image-scp app HOST::, or image-scp HOST::app',
      });
    if (!source.host && !target.host)
      throw new UsageError('usage', 'both ends are local storage', { hint: 'use tag for another name' });
    const directory = await mkdtemp(join(temporaryDirectory(context.io), 'slipway-scp-'));
    try {
      const path = join(directory, 'image.tar');
      await fetch(context, source, path);
      await deliver(context, target, path);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  },
};

interface End {
  /** Undefined: local storage. */
  readonly host?: string;
  readonly image: string;
}

/** Both parts reach a shell on the other side, so only what names consist of may stand in them. */
function endOf(text: string): End {
  const at = text.indexOf('::');
  const host = at < 0 ? '' : text.slice(0, at);
  const image = at < 0 ? text : text.slice(at + 2);
  const isPlain =
    /^(?!-)[A-Za-z0-9._@%:[\]-]*$/.test(host) && /^(?:[A-Za-z0-9_][A-Za-z0-9._/:@-]*)?$/.test(image);
  if (isPlain) return { ...(host && host !== 'localhost' && { host }), image };
  throw new UsageError('usage', `${JSON.stringify(text)} is not [HOST::]IMAGE`, {
    hint: 'a machine that ssh knows is followed by two colons',
  });
}

async function fetch(context: CommandContext, { host, image }: End, path: string): Promise<void> {
  if (host) {
    const command = `${context.flags.string('remote-save-command')} ${image}`;
    await ssh(context, host, command, (child) => pipeline(child.stdout, createWriteStream(path)));
    return;
  }
  await using session = await openSession(context, { quiet: context.flags.bool('quiet') });
  const { id, names } = await findImageRecord(session, image);
  await saveImages(session.surroundings, [{ id, names }], { format: 'docker-archive', path });
}

async function deliver(context: CommandContext, { host }: End, path: string): Promise<void> {
  if (host) {
    const command = context.flags.string('remote-command');
    await ssh(context, host, command, (child) => {
      child.stdout.pipe(context.io.stdout, { end: false });
      return pipeline(createReadStream(path), child.stdin);
    });
    return;
  }
  await using session = await openSession(context, { quiet: context.flags.bool('quiet') });
  for (const name of await loadImages(session.surroundings, path)) context.print(`Loaded image: ${name}`);
}

type Child = ReturnType<typeof spawn> & {
  readonly stdin: NonNullable<ReturnType<typeof spawn>['stdin']>;
  readonly stdout: NonNullable<ReturnType<typeof spawn>['stdout']>;
};

/** The exit of the other side says more than a broken pipe, so it comes first. */
async function ssh(
  { io, signal }: CommandContext,
  host: string,
  command: string,
  move: (child: Child) => Promise<void>,
): Promise<void> {
  const child = spawn('ssh', ['--', host, command], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: io.environment,
    signal,
  }) as Child;
  const ended = new Promise<number | null>((resolve, reject) =>
    child.on('error', reject).on('close', resolve),
  );
  const moved = move(child).catch((error: unknown) => error);
  const status = await ended;
  if (status !== 0) throw new SlipwayError('remote', `${command} on ${host} ended with ${status}`);
  const failure = await moved;
  if (failure) throw failure;
}
