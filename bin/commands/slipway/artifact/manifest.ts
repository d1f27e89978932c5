import { readFile, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { SlipwayError } from '../../../../errors.ts';
import type { Descriptor } from '../../../../image/descriptor.ts';
import { MANIFEST_LIMIT_BYTES } from '../../../../image/json.ts';
import type { CommandContext, CommandSpec } from '../../../cli/contract.ts';
import { UsageError } from '../../../cli/error.ts';
import { parseAnyReference } from '../../../cli/image-reference.ts';
import { registryFlags } from '../../../cli/registry-access.ts';
import { transportContext } from '../../../cli/transport-context.ts';
import { DESCRIPTOR, FORCE, PLATFORM, platformFlag, requireForce } from './shared.ts';

export const manifest: CommandSpec = {
  name: 'manifest',
  summary: 'Fetch, push and delete manifests as they are',
  usage: '',
  commands: [
    { name: 'fetch', summary: 'Print a manifest', load: async () => fetch },
    {
      name: 'fetch-config',
      summary: 'Print the config of an image or artifact',
      load: async () => fetchConfig,
    },
    { name: 'push', summary: 'Store a manifest from a file', load: async () => push },
    { name: 'delete', summary: 'Delete a manifest with all its tags', load: async () => remove },
  ],
};

const OUTPUT_FLAGS: CommandSpec['flags'] = [
  ...registryFlags(),
  PLATFORM,
  DESCRIPTOR,
  { name: 'output', short: 'o', kind: 'string', default: '-', usage: 'write to `FILE`; -: stdout' },
  { name: 'pretty', kind: 'bool', usage: 'indent the JSON that is printed' },
];

const fetch: CommandSpec = {
  name: 'fetch',
  summary: 'Print a manifest',
  usage: '[flags] REFERENCE',
  args: { min: 1, max: 1 },
  flags: OUTPUT_FLAGS,
  run: async (context) => {
    const { fetchManifest } = await import('../../../../artifact/manifest.ts');
    await show(context, fetchManifest);
  },
};

const fetchConfig: CommandSpec = {
  name: 'fetch-config',
  summary: 'Print the config of an image or artifact',
  usage: '[flags] REFERENCE',
  args: { min: 1, max: 1 },
  flags: OUTPUT_FLAGS,
  run: async (context) => {
    const library = await import('../../../../artifact/manifest.ts');
    await show(context, library.fetchConfig);
  },
};

type Fetch = (
  ...words: Parameters<typeof import('../../../../artifact/manifest.ts').fetchConfig>
) => Promise<{ readonly bytes: Uint8Array; readonly descriptor: Descriptor }>;

async function show(context: CommandContext, fetchDocument: Fetch): Promise<void> {
  const { flags, io, args } = context;
  const reference = await parseAnyReference(args[0] as string, io.workingDirectory);
  const found = await fetchDocument(reference, transportContext(context), platformFlag(context));
  const wanted = flags.bool('descriptor') ? Buffer.from(JSON.stringify(found.descriptor)) : found.bytes;
  const output = flags.string('output');
  if (output !== '-' && !flags.bool('descriptor'))
    return await writeFile(resolve(io.workingDirectory, output), wanted);
  const text = Buffer.from(wanted).toString();
  if (flags.bool('pretty')) context.print(JSON.stringify(JSON.parse(text), null, 2));
  else io.stdout.write(flags.bool('descriptor') ? `${text}\n` : wanted);
}

const push: CommandSpec = {
  name: 'push',
  summary: 'Store a manifest from a file',
  description: 'Stores the bytes of a file, or of stdin for -, as they are, and prints their digest.',
  usage: '[flags] REFERENCE FILE',
  args: { min: 2, max: 2 },
  flags: [
    ...registryFlags(),
    DESCRIPTOR,
    { name: 'media-type', kind: 'string', usage: 'of the manifest; default: what it says itself' },
  ],
  run: async (context) => {
    const { storeManifest } = await import('../../../../artifact/manifest.ts');
    const { args, flags, io } = context;
    const [name, file] = args as [string, string];
    const bytes = file === '-' ? await buffer(io.stdin) : await readFile(resolve(io.workingDirectory, file));
    if (bytes.length > MANIFEST_LIMIT_BYTES)
      throw new UsageError(
        'usage',
        `${file} is larger than a manifest may be (${MANIFEST_LIMIT_BYTES} bytes)`,
      );
    const reference = await parseAnyReference(name, io.workingDirectory);
    const type = flags.string('media-type') || undefined;
    const stored = await storeManifest(reference, bytes, transportContext(context), type);
    context.print(flags.bool('descriptor') ? JSON.stringify(stored) : stored.digest);
  },
};

const remove: CommandSpec = {
  name: 'delete',
  summary: 'Delete a manifest with all its tags',
  description: 'Deletes what the reference names, with every tag of it. slipway rm-tag removes a tag alone.',
  usage: '[flags] REFERENCE',
  args: { min: 1, max: 1 },
  flags: [...registryFlags(), FORCE],
  run: async (context) => {
    const { deleteImage } = await import('../../../../transport/delete.ts');
    const name = context.args[0] as string;
    requireForce(context, name);
    try {
      await deleteImage(
        await parseAnyReference(name, context.io.workingDirectory),
        transportContext(context),
      );
      context.note(`Deleted ${name}`);
    } catch (error) {
      if (!(error instanceof SlipwayError) || error.code !== 'not-found') throw error;
      context.note(`${name} is not there`);
    }
  },
};
