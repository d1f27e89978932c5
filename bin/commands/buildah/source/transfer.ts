import { existsSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { BuildError } from '../../../../build/error.ts';
import { requireSourceConfig } from '../../../../build/source/source-image.ts';
import { isShortName } from '../../../../config/short-names.ts';
import { parseManifest } from '../../../../image/manifest.ts';
import { platformOf } from '../../../../image/platform.ts';
import type { ImageReference, TransportContext } from '../../../../transport/contract.ts';
import { copyImage } from '../../../../transport/copy.ts';
import { parseImageReference } from '../../../../transport/references.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../../cli/contract.ts';
import { imagePolicy } from '../../../cli/image-policy.ts';
import { createProgress } from '../../../cli/progress.ts';
import { usage } from '../arguments.ts';
import { askedAccess } from '../registry-flags.ts';

const FLAGS: readonly FlagSpec[] = [
  { name: 'creds', kind: 'string', usage: 'use `USERNAME[:PASSWORD]` with the registry' },
  { name: 'quiet', short: 'q', kind: 'bool', usage: 'print no progress' },
  { name: 'tls-verify', kind: 'optionalBool', usage: 'require HTTPS and check certificates (default true)' },
];

export const pull: CommandSpec = {
  name: 'pull',
  summary: 'Pull a source image from a registry',
  usage: '[flags] IMAGE DIRECTORY',
  flags: FLAGS,
  args: { min: 2, max: 2 },
  run: runPull,
};

export const push: CommandSpec = {
  name: 'push',
  summary: 'Push a source image to a registry',
  usage: '[flags] DIRECTORY IMAGE',
  flags: [
    ...FLAGS,
    { name: 'digestfile', kind: 'string', usage: 'write the digest of what was pushed to this file' },
  ],
  args: { min: 2, max: 2 },
  run: runPush,
};

async function runPull(context: CommandContext): Promise<void> {
  const [image = '', directory = ''] = context.args;
  if (existsSync(resolve(context.io.workingDirectory, directory)))
    throw new BuildError('bad-argument', `"${directory}" already exists`);
  const from = await registryReference(context, image);
  const surroundings = await transportContext(context);
  {
    await using source = await from.openSource(surroundings);
    const { bytes, mediaType } = await source.getManifest();
    const manifest = parseManifest(bytes, mediaType);
    if (manifest.kind !== 'image') throw new BuildError('bad-argument', `"${image}" is not a source image`);
    requireSourceConfig(manifest.config);
  }
  await transfer(context, from, await layoutReference(context, directory));
}

async function runPush(context: CommandContext): Promise<void> {
  const [directory = '', image = ''] = context.args;
  const to = await registryReference(context, image);
  const { digest } = await transfer(context, await layoutReference(context, directory), to);
  const file = context.flags.string('digestfile');
  if (file) writeFileSync(file, digest);
}

function layoutReference({ io }: CommandContext, directory: string): Promise<ImageReference> {
  return parseImageReference(`oci:${directory}`, io);
}

async function registryReference({ io }: CommandContext, image: string): Promise<ImageReference> {
  if (isShortName(image))
    throw usage(
      `pulling source images by short name ("${image}") is not supported, please use a fully-qualified name`,
    );
  return parseImageReference(`docker://${image}`, io);
}

async function transportContext(context: CommandContext): Promise<TransportContext> {
  const { io, signal } = context;
  return {
    platform: platformOf(process.platform, process.arch),
    temporaryDirectory: io.environment.TMPDIR || '/var/tmp',
    signal,
    docker: await askedAccess(context, new Set(['creds', 'tls-verify'])),
  };
}

async function transfer(context: CommandContext, source: ImageReference, destination: ImageReference) {
  const { io, flags, signal } = context;
  const policy = await imagePolicy(context, {});
  const progress = await createProgress({
    mode: flags.bool('quiet') ? 'none' : 'plain',
    stream: io.stderr,
    warnings: io.stderr,
  });
  const transport = await transportContext(context);
  try {
    return await copyImage(policy, source, destination, {
      source: transport,
      destination: transport,
      onProgress: progress.onProgress,
      signal,
    });
  } finally {
    progress.close();
  }
}
