import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Descriptor } from '../../../../image/descriptor.ts';
import type { ImageReference } from '../../../../transport/contract.ts';
import { formatImageReference } from '../../../../transport/references.ts';
import type { CommandContext, CommandSpec } from '../../../cli/contract.ts';
import { UsageError } from '../../../cli/error.ts';
import { parseAnyReference } from '../../../cli/image-reference.ts';
import { registryFlags } from '../../../cli/registry-access.ts';
import { transportContext } from '../../../cli/transport-context.ts';
import { PACKING_FLAGS, readFiles, readPacking } from './packing.ts';
import { PLATFORM, platformFlag, printResult, withProgress } from './shared.ts';

export const push: CommandSpec = {
  name: 'push',
  summary: 'Push files as an artifact',
  description:
    'Pushes files and directories as one artifact and prints its digest. Any reference with a transport works, a bare name is a registry. Several tags are separated by commas.',
  usage: '[flags] REFERENCE[,TAG...] FILE[:TYPE]...',
  examples: [
    'slipway artifact push --artifact-type application/vnd.example.report registry.example.com/app:report report.json:application/json',
    'slipway artifact push oci:layout:v1 docs',
  ],
  args: { min: 1 },
  flags: [...registryFlags(), ...PACKING_FLAGS],
  run: async (context) => {
    const { pushArtifact } = await import('../../../../artifact/push.ts');
    const [name, ...files] = context.args as [string, ...string[]];
    const [first = '', ...tags] = name.split(',');
    const reference = await parseAnyReference(first, context.io.workingDirectory);
    const surroundings = transportContext(context, { journal: true });
    const packing = await readPacking(context);
    const manifest = await withProgress(context, (options) =>
      pushArtifact(reference, readFiles(context, files), surroundings, { ...packing, ...options }),
    );
    if (tags.length > 0) {
      const { tagArtifact } = await import('../../../../artifact/manifest.ts');
      await tagArtifact(reference, tags, surroundings);
    }
    await finish(context, 'Pushed', reference, manifest);
  },
};

export const attach: CommandSpec = {
  name: 'attach',
  summary: 'Push files as an artifact that refers to an image',
  description:
    'Pushes files as an artifact whose subject is the image or artifact that the reference names, so that it is found with it and goes along with copies of it.',
  usage: '[flags] --artifact-type TYPE REFERENCE FILE[:TYPE]...',
  examples: [
    'slipway artifact attach --artifact-type application/spdx+json registry.example.com/app:1 sbom.json:application/spdx+json',
  ],
  args: { min: 1 },
  flags: [...registryFlags(), ...PACKING_FLAGS, PLATFORM],
  run: async (context) => {
    const { attachArtifact } = await import('../../../../artifact/push.ts');
    const artifactType = context.flags.string('artifact-type');
    if (!artifactType)
      throw new UsageError('usage', '--artifact-type is needed: it says what the attached artifact is');
    const [name, ...files] = context.args as [string, ...string[]];
    const packing = await readPacking(context);
    if (files.length === 0 && Object.keys(packing.annotations ?? {}).length === 0)
      throw new UsageError('usage', 'neither files nor annotations are given: there is nothing to attach');
    const reference = await parseAnyReference(name, context.io.workingDirectory);
    const surroundings = transportContext(context, { journal: true });
    const subject = await chosen(context, reference);
    const { manifest } = await withProgress(context, (options) =>
      attachArtifact(subject, readFiles(context, files), surroundings, {
        ...packing,
        ...options,
        artifactType,
      }),
    );
    await finish(context, 'Attached to', subject, manifest);
  },
};

/** With `--platform`, the manifest of an index that it chooses. */
async function chosen(context: CommandContext, reference: ImageReference): Promise<ImageReference> {
  const platform = platformFlag(context);
  if (!platform) return reference;
  const { fetchManifest } = await import('../../../../artifact/manifest.ts');
  const { selectImage } = await import('../../../../transport/select-image.ts');
  const { descriptor } = await fetchManifest(reference, transportContext(context), platform);
  return (await selectImage(reference, { digest: descriptor.digest })) ?? reference;
}

async function finish(
  context: CommandContext,
  did: string,
  reference: ImageReference,
  manifest: Descriptor & { readonly bytes: Uint8Array },
): Promise<void> {
  const { bytes, ...descriptor } = manifest;
  const file = context.flags.string('export-manifest');
  if (file) await writeFile(resolve(context.io.workingDirectory, file), bytes);
  const name = formatImageReference(reference);
  if (!context.flags.bool('quiet')) context.note(`${did} ${name}`);
  await printResult(context, { reference: name, ...descriptor }, descriptor.digest);
}
