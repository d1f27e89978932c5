import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { homeOf } from '../../../../config/host.ts';
import { defaultLookaside, lookasideFor, readSignatureStorage } from '../../../../config/registries-d.ts';
import { manifestDigest, parseManifest } from '../../../../image/manifest.ts';
import type { ImageReference } from '../../../../transport/contract.ts';
import type { CommandContext, CommandSpec } from '../../../cli/contract.ts';
import { UsageError } from '../../../cli/error.ts';
import { parseAnyReference } from '../../../cli/image-reference.ts';
import { simpleSigner } from '../../../cli/image-signers.ts';
import { registryFlags } from '../../../cli/registry-access.ts';
import { transportContext } from '../../../cli/transport-context.ts';

/** `slipway image-sign`: podman image sign, simple signatures into a lookaside store. */
export const imageSign: CommandSpec = {
  name: 'image-sign',
  summary: 'Make simple signatures of images in registries, in a local lookaside store',
  usage: '[flags] --sign-by KEY REFERENCE...',
  examples: [
    'slipway image-sign --sign-by me@example.com --directory ./signatures registry.example.com/app:1',
  ],
  args: { min: 1 },
  flags: [
    ...registryFlags(),
    {
      name: 'sign-by',
      kind: 'string',
      usage: 'sign with the OpenPGP key `FINGERPRINT` of gpg, or with an armored secret key file',
    },
    {
      name: 'directory',
      short: 'd',
      kind: 'string',
      usage: 'write below `DIRECTORY` instead of the lookaside store of registries.d',
    },
    { name: 'all', short: 'a', kind: 'bool', usage: 'sign the images of an index too' },
  ],
  run: async (context) => {
    if (!context.flags.string('sign-by'))
      throw new UsageError('usage', 'no identity provided', { hint: 'give --sign-by KEY' });
    for (const text of context.args)
      await signImage(context, await parseAnyReference(text, context.io.workingDirectory));
  },
};

async function signImage(context: CommandContext, reference: ImageReference): Promise<void> {
  const { lookasideBase, readLookaside, writeLookaside } = await import(
    '../../../../transport/docker/lookaside.ts'
  );
  const { named } = reference;
  if (!named || reference.transport !== 'docker')
    throw new UsageError('usage', `${reference.transport}:${reference.within} is not in a registry`);
  const signer = await simpleSigner(context, context.flags.string('sign-by'), undefined);
  await signer.prepare();
  const base = lookasideBase(await storeFor(context, reference), named);
  await using source = await reference.openSource(transportContext(context));
  const top = await source.getManifest();
  const documents = [top.bytes];
  const manifest = parseManifest(top.bytes, top.mediaType);
  if (manifest.kind === 'index' && context.flags.bool('all'))
    for (const child of manifest.manifests) documents.push((await source.getManifest(child.digest)).bytes);
  for (const bytes of documents) {
    const digest = manifestDigest(bytes);
    const earlier = await readLookaside(base, digest, { fetch: refuseRemote });
    await writeLookaside(base, digest, [...earlier, await signer.sign(bytes, named)]);
    context.note(`Signed ${digest}`);
  }
}

async function storeFor(context: CommandContext, reference: ImageReference): Promise<string> {
  const directory = context.flags.string('directory');
  if (directory) return pathToFileURL(resolve(context.io.workingDirectory, directory)).href;
  const home = homeOf(context.io);
  const storage = await readSignatureStorage({ home });
  return (
    lookasideFor(storage, reference, 'write') ?? defaultLookaside({ root: process.getuid?.() === 0, home })
  );
}

/** Signatures are added to those of the same store, which only a local one can take. */
async function refuseRemote(url: URL): Promise<never> {
  throw new UsageError('usage', `the lookaside store ${url.origin} cannot be written`, {
    hint: 'give --directory, or configure lookaside-staging with a file: URL in registries.d',
  });
}
