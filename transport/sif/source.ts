import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isSystemError } from '../../errors.ts';
import { encodedOf } from '../../image/digest.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import { BlobMeter } from '../../store/blob/verify.ts';
import type { ImageSource, TransportContext } from '../contract.ts';
import { TransportError } from '../error.ts';
import { MadeImageSource } from '../made-image.ts';
import { readSif, type SifImage } from './header.ts';
import type { SifReference } from './reference.ts';

const RUN_SCRIPT = 'podman/runscript';

/**
 * Makes an image of a SIF file: its root file system, unpacked by the host's `unsquashfs`, becomes the one layer.
 * @throws TransportError `bad-archive`, `unsupported` without unsquashfs or for another file system
 */
export async function openSifSource(
  reference: SifReference,
  context: TransportContext,
): Promise<ImageSource> {
  const image = await readSif(reference.path);
  if (!image.rootfs.isSquashfs)
    throw new TransportError('unsupported', `the root file system in ${reference.path} is not a squashfs`);
  const work = await mkdtemp(join(context.temporaryDirectory, 'slipway-sif-'));
  const close = () => rm(work, { recursive: true, force: true });
  try {
    const command = await unpack(reference.path, image, work, context.signal);
    const path = join(work, 'rootfs.tar');
    await run('tar', ['--acls', '--xattrs', '-C', join(work, 'rootfs'), '-cpf', path, './'], context.signal);
    await rm(join(work, 'rootfs'), { recursive: true, force: true });
    const layer = await describe(path, context.signal);
    return new MadeImageSource(reference, [layer], configOf(image, layer, command), close);
  } catch (error) {
    await close();
    throw error;
  }
}

/** The command of the image: a script made of the definition's %environment and %runscript, else bash. */
async function unpack(path: string, image: SifImage, work: string, signal?: AbortSignal): Promise<string> {
  const root = join(work, 'rootfs');
  const { environment, script } = parseDefinition(image.definition ?? '');
  const own = environment.length > 0 || script.length > 0;
  if (own) {
    // Before anything of the image is there, whose links could lead elsewhere.
    await mkdir(join(root, 'podman'), { recursive: true });
    const text = `#!/bin/bash\n${environment.join('\n')}\n${script.join('\n')}\n`;
    await writeFile(join(root, RUN_SCRIPT), text, { mode: 0o755, flag: 'wx' });
  }
  await run('unsquashfs', ['-o', String(image.rootfs.offset), '-d', root, '-f', path], signal);
  return own ? `/${RUN_SCRIPT}` : 'bash';
}

/** The lines of the two sections that matter. */
export function parseDefinition(text: string): {
  readonly environment: readonly string[];
  readonly script: readonly string[];
} {
  const environment: string[] = [];
  const script: string[] = [];
  let section = '';
  for (const line of text.split('\n').map((raw) => raw.trim())) {
    if (line.startsWith('%')) section = line;
    else if (section === '%environment' && line !== '' && !line.startsWith('#')) environment.push(line);
    else if (section === '%runscript') script.push(line);
  }
  if (text.endsWith('\n') && section === '%runscript') script.pop();
  return { environment, script };
}

async function describe(path: string, signal?: AbortSignal) {
  const { createReadStream } = await import('node:fs');
  const { pipeline } = await import('node:stream/promises');
  const whole = new BlobMeter({ what: path });
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), whole.resume(), { signal });
  return {
    path,
    descriptor: { mediaType: MEDIA_TYPE.ociLayer, digest: whole.info.digest, size: whole.sizeBytes },
  };
}

function configOf(image: SifImage, layer: Awaited<ReturnType<typeof describe>>, command: string) {
  const created = new Date(image.modified * 1000).toISOString().replace(/\.000Z$/, 'Z');
  const { digest } = layer.descriptor;
  return {
    created,
    architecture: image.architecture,
    os: 'linux',
    config: { Cmd: [command] },
    rootfs: { type: 'layers' as const, diff_ids: [digest] },
    history: [
      {
        created,
        created_by: `/bin/sh -c #(nop) ADD file:${encodedOf(digest)} in /`,
        comment: `imported from SIF, uuid: ${image.uuid}`,
      },
      { created, created_by: '/bin/sh -c #(nop) CMD ["bash"]', empty_layer: true },
    ],
  };
}

function run(program: string, args: readonly string[], signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      ...(signal ? { signal } : {}),
    });
    let messages = '';
    child.stderr.on('data', (chunk: Buffer) => {
      messages = (messages + chunk.toString()).slice(-2000);
    });
    child.on('error', (cause) => reject(signal?.aborted ? signal.reason : startError(program, cause)));
    child.on('close', (code) => {
      if (code === 0) resolve();
      else
        reject(
          new TransportError(
            'bad-archive',
            `converting image: ${program} failed: ${messages.trim().split('\n').at(-1) ?? `exit code ${code}`}`,
          ),
        );
    });
  });
}

function startError(program: string, cause: Error): Error {
  if (!isSystemError(cause, 'ENOENT')) return cause;
  return new TransportError(
    'unsupported',
    `reading SIF images needs the ${program} command, which is not installed`,
    {
      cause,
      hint: program === 'unsquashfs' ? 'install the package squashfs-tools' : `install ${program}`,
    },
  );
}
